"""What sends segments at a steady rate: a process of its own, so that it takes no turn from whoever probes.

`python -m bench.slicing PORT SECONDS SEGMENTS_PER_SECOND` prints how many segments were answered.
"""

from __future__ import annotations

import http.client
import sys
import threading
import time

from bench.bodies import PER_CALLBACK, SEGMENT_PATH, segments

_THREADS = 4


def main() -> None:
    """Send; print the segments that were answered with 200."""
    port, seconds, rate = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    counts = [0] * _THREADS
    began = time.monotonic()

    def run(number: int) -> None:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        interval = PER_CALLBACK * _THREADS / rate
        sent = 0
        while (due := began + (sent + number / _THREADS) * interval) < began + seconds:
            time.sleep(max(due - time.monotonic(), 0))
            client.request("POST", SEGMENT_PATH, segments(f"{number}-{sent}", number))
            answer = client.getresponse()
            answer.read()
            counts[number] += PER_CALLBACK if answer.status == 200 else 0
            sent += 1
        client.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sum(counts))


if __name__ == "__main__":
    main()
