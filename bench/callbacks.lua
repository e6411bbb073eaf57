-- FileCreated callbacks for wrk, each unique, over kept-alive connections; bodies.py makes the same.
-- Arguments: path with token, series, mean milliseconds between two requests of one connection (0: none).

local path, series, pause
local number = 0
local body = '{"AppId": "9q1x", "ChannelId": "%s-room-%07d", "Duration": 1792.257, "Event": "FileCreated", '
  .. '"MsgId": "83eaaf62-19e8-45df-%s-%012d", "StartTime": "2020-09-02T10:23:54Z", '
  .. '"StopTime": "2020-09-02T10:53:46Z", "TaskId": "%s-task-%09d", '
  .. '"Url": "http://rtc-record.oss-cn-shanghai.aliyuncs.com/record/0902-1/9q1x/%s/%s-task-%09d_%09d.m3u8"}'

function init(args)
  path, series, pause = args[1], args[2], tonumber(args[3])
  if pause > 0 then
    -- wrk asks for a delay before each request where this function exists; a random one, so that none march in step.
    function delay()
      return math.random(0, 2 * pause)
    end
  end
end

function request()
  local task = math.floor(number / 3)
  local text = string.format(body, series, math.floor(number / 64), series, number, series, task,
    series, series, task, number)
  number = number + 1
  return wrk.format("POST", path, {["Content-Type"] = "application/json"}, text)
end

function done(summary, latency, _)
  local failed = summary.errors
  io.write(string.format(
    'FIGURES {"answers": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "failures": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    failed.connect + failed.read + failed.write + failed.status + failed.timeout))
end
