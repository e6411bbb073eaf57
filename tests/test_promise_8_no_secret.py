"""Promise 8, from outside: nobody gets in without a token, and no secret stands in a log, a row or an answer."""

from __future__ import annotations

import socket
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from callbacks import file_created
from conftest import API_TOKEN, TOKEN
from program import Program, request, running, wait_until
from terminal import told, typed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

BEARER = {"Authorization": f"Bearer {API_TOKEN}"}
#: made for one purpose, so that each can be looked for by itself
OLD_TOKEN = "an-old-token-for-lessons-9876543210"
SIGNING_KEY = "a-signing-key-of-the-classroom-0123456789"
ACCESS_KEY = "a-secret-access-key-of-somebody-0123456789"
SECRETS = {"url token": TOKEN, "old token": OLD_TOKEN, "api": API_TOKEN, "signing": SIGNING_KEY, "access": ACCESS_KEY}


@dataclass
class House:
    program: Program
    environ: dict[str, str]
    folder: Path
    #: everything that was ever answered, headers and bodies
    answers: list[bytes] = field(default_factory=list)

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **more: str,
    ) -> Any:
        named = dict(headers or {}) | {name.replace("_", "-"): value for name, value in more.items()}
        answer = request(method, self.program.url + target, body, headers=named)
        self.answers += [repr(answer.headers).encode(), answer.body]
        return answer

    def api(self, path: str) -> Any:
        answer = self.ask("GET", f"/api/v1/{path}", headers=BEARER)
        assert answer.status == 200, answer.body
        return answer.json()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    config = folder / "reelhook.toml"
    config.write_text(
        '[accounts.lessons]\nvendor = "aliyun"\nurl_tokens = ["env:LESSONS_TOKEN", "env:LESSONS_OLD"]\n'
        'access_key_id = "env:AK"\nsecret_access_key = "env:SK"\n'
        '[accounts.classroom]\nvendor = "volcengine"\ncallback_secrets = ["env:SIGNING"]\n'
    )
    environ = {
        "REELHOOK_DATA": str(folder / "data"),
        "REELHOOK_CONFIG": str(config),
        "REELHOOK_API_TOKENS": API_TOKEN,
        "LESSONS_TOKEN": TOKEN,
        "LESSONS_OLD": OLD_TOKEN,
        "SIGNING": SIGNING_KEY,
        "AK": "an-access-key-id",
        "SK": ACCESS_KEY,
    }
    with running(environ, "serve", log=folder / "log") as program:
        program.ready()
        yield House(program, environ, folder)


def test_refusals_are_seen_through_the_api_and_the_terminal_and_released_there(house: House) -> None:
    for number in (1, 2):
        answer = house.ask("POST", "/callbacks/aliyun/lessons?token=wrong", file_created(number))
        assert answer.status == 401
    wait_until(lambda: len(house.api("refusals?reason=bad_token")["items"]) >= 2, what="the refusals' writing")
    second, first = house.api("refusals?reason=bad_token")["items"][:2]
    assert "expected ?token=..." in first["detail"]
    assert house.api(f"refusals/{first['id']}")["body"] == file_created(1).decode()
    listed = told("refusals", "list", "--json", environ=house.environ)
    assert {item["id"] for item in listed["items"]} >= {first["id"], second["id"]}
    released = house.ask("POST", f"/api/v1/refusals/{first['id']}/release", headers=BEARER)
    assert released.status == 200
    assert house.ask("POST", f"/api/v1/refusals/{first['id']}/release", headers=BEARER).status == 409
    done = typed("release", second["id"], environ=house.environ)
    assert done.returncode == 0, done
    assert typed("release", second["id"], environ=house.environ).returncode == 1
    for number in (1, 2):
        wait_until(
            lambda number=number: len(house.api(f"recordings?task_id=task-{number:08d}")["items"]) == 1,
            what="the recording of what was released",
        )


def test_a_flood_of_strange_addresses_makes_no_new_figures(house: House) -> None:
    for number in range(60):
        assert house.ask("POST", f"/callbacks/aliyun/nobody-{number}?token=x", b"{}").status == 404
        assert house.ask("POST", f"/callbacks/vendor-{number}/lessons?token=x", b"{}").status == 404
        assert house.ask("POST", f"/callbacks/volcengine/strange-{number}", b"{}").status == 404
    figures = house.ask("GET", "/metrics").body.decode()
    for word in ("nobody", "vendor-", "strange"):
        assert word not in figures
    name = 'reelhook_deliveries_refused_total{account="",reason="unknown_account",vendor=""}'
    (line,) = [line for line in figures.splitlines() if line.startswith(name)]
    assert float(line.split()[-1]) >= 180
    wait_until(lambda: house.api("refusals?reason=unknown_account")["items"], what="the refusals' writing")
    items = house.api("refusals?reason=unknown_account&limit=1000")["items"]
    assert {(item["vendor"], item["account"]) for item in items} == {("", "")}
    assert len(items) < 180, "the rate is bounded"


def test_without_a_token_nothing_is_told(house: House) -> None:
    document = house.ask("GET", "/openapi.json").json()
    # The schema of events tells nothing of what is kept.
    paths = [path for path in document["paths"] if path.startswith("/api/") and "/schemas/" not in path]
    assert len(paths) >= 8
    for path in paths:
        for method in document["paths"][path]:
            target = path.replace("{id}", "dlv_0")
            for headers in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": f"Basic {API_TOKEN}"},
                {"Cookie": API_TOKEN},
                {"Authorization": f"Bearer {TOKEN}"},
            ):
                answer = house.ask(
                    method.upper(), f"{target}?token={API_TOKEN}&access_token={API_TOKEN}", headers=headers
                )
                assert answer.status == 401, (method, path, headers)
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def _traffic(house: House) -> None:
    """Do everything that might make somebody write a secret down."""
    good = f"/callbacks/aliyun/lessons?token={TOKEN}"
    url = f"https://hooks.example.com{good}"
    shown = {"Referer": url, "X-Original-URI": good, "X-Forwarded-Uri": good, "Cookie": TOKEN, "X-Api-Key": TOKEN}
    for body in (file_created(), b"garbage", b"", b"[" * 10_000):
        house.ask("POST", good, body, headers=shown)
        house.ask("POST", f"/callbacks/aliyun/lessons?token={OLD_TOKEN}", body + b" ", headers=shown)
        house.ask("POST", "/callbacks/aliyun/lessons?token=wrong", body, headers=shown)
        house.ask("POST", f"/callbacks/aliyun/lessons?Token={TOKEN}", body, Authorization=f"Bearer {TOKEN}")
        house.ask("POST", f"/callbacks/nobody/lessons?token={TOKEN}", body, headers=shown)
        house.ask("POST", f"/callbacks/aliyun/nobody?token={TOKEN}", body, headers=shown)
        house.ask("POST", f"/callbacks/volcengine/classroom?token={TOKEN}", body, headers=shown)
    for method in ("GET", "PUT", "DELETE"):
        house.ask(method, good, None if method == "GET" else b"{}", headers=shown)
    house.ask("POST", good, b"x" * 1_100_000)
    house.ask("POST", f"{good}&x={'y' * 9000}", b"{}")
    house.ask("POST", good, b"{}", X_Huge="y" * 70_000)
    house.ask("GET", f"/nothing/here?token={TOKEN}")
    for pasted in (f"lessons%3Ftoken={TOKEN}", f"lessons%3ftoken%3D{TOKEN}", f"lessons&token={TOKEN}"):
        house.ask("POST", f"/callbacks/aliyun/{pasted}", body)
        house.ask("PUT", f"/callbacks/aliyun/{pasted}", body)
        house.ask("POST", f"/callbacks/aliyun/{pasted}/more", body)
    house.ask("GET", f"/api/v1/recordings?nonsense={API_TOKEN}", headers=BEARER)
    house.ask("GET", f"/api/v1/recordings/rec_0?token={TOKEN}", headers=BEARER)
    for page in ("metrics", "readyz", "livez", "openapi.json", "docs", "api/v1/deliveries", "api/v1/refusals"):
        house.ask("GET", f"/{page}", headers=BEARER)
    for item in house.api("deliveries")["items"] + house.api("refusals")["items"]:
        house.api(f"{'deliveries' if item['id'].startswith('dlv') else 'refusals'}/{item['id']}")
    _broken_requests(house)


def _broken_requests(house: House) -> None:
    line = f"POST /callbacks/aliyun/lessons?token={TOKEN} HTTP/1.1\r\nHost: x\r\n"
    for sent in (
        f"{line}Content-Length: 10\r\n\r\n{{}}",
        f"{line}Content-Length: 1\r\nContent-Length: 2\r\n\r\n{{}}",
        f"{line}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        f"{line}Authorization: Bearer {TOKEN}\r\nExpect: something\r\nContent-Length: 2\r\n\r\n{{}}",
        f"{line[:-20]}",
        f"POST\t/?token={TOKEN} HTTP/1.1\r\n\r\n",
        f"{line}A header without a colon {TOKEN}\r\n\r\n",
        f"{TOKEN}\r\n\r\n",
        f"GET /?{TOKEN} HTTP/9.9\r\nHost: x\r\n\r\n",
    ):
        address = ("127.0.0.1", house.program.port)
        with closing(socket.create_connection(address, timeout=15)) as client, suppress(OSError):
            client.sendall(sent.encode())
            client.shutdown(socket.SHUT_WR)
            while data := client.recv(65_536):
                house.answers.append(data)


def _fail_inside(house: House) -> None:
    """Bring a bug about: the traceback in the log must not hold what the request held."""
    _traffic_is_settled(house)
    with closing(sqlite3.connect(house.folder / "data" / "reelhook.db")) as connection:
        before = connection.execute("SELECT id, media FROM recordings LIMIT 1").fetchone()
        connection.execute("UPDATE recordings SET media = 'no JSON' WHERE id = ?", before[:1])
        connection.commit()
        answer = house.ask("GET", f"/api/v1/recordings/{before[0]}", headers=BEARER)
        assert answer.status == 500
        connection.execute("UPDATE recordings SET media = ? WHERE id = ?", (before[1], before[0]))
        connection.commit()


def _traffic_is_settled(house: House) -> None:
    wait_until(lambda: house.api("recordings")["items"], what="the first recording")
    time.sleep(0.6)  # refusals are written a little later


def test_no_secret_stands_in_a_log_a_row_or_an_answer(house: House) -> None:
    _traffic(house)
    _fail_inside(house)
    log = (house.folder / "log").read_bytes()
    assert b"Traceback" in log, "the bug was logged"
    assert log.count(b'"status": 401') >= 8, "and so were the requests"
    data = house.folder / "data"
    with closing(sqlite3.connect(data / "reelhook.db")) as connection:
        rows = "\n".join(connection.iterdump())
        # sqlite3 dumps a blob as hexadecimal digits, in which no secret would be found.
        for table in ("deliveries", "refusals"):
            for headers, body in connection.execute(f"SELECT headers, body FROM {table}"):  # noqa: S608 - our own names
                rows += f"{headers!r}{body!r}"
    places = {"log": log, "rows": rows.encode(), "answers": b"\n".join(house.answers)}
    places |= {path.name: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    assert {"reelhook.db", "reelhook.db-wal"} <= set(places)
    found = [
        (place, name) for place, text in places.items() for name, value in SECRETS.items() if value.encode() in text
    ]
    assert found == []


def test_the_database_s_password_stands_in_no_log_and_no_answer(house: House) -> None:
    password = "s3cret-of-the-database"
    environ = house.environ | {
        "DATABASE_URL": f"postgresql://reelhook:{password}@127.0.0.1:1/reelhook",
        "REELHOOK_DATA": str(house.folder / "other"),
    }
    with running(environ, "serve", log=house.folder / "other.log") as program:
        program.ready()
        answers = [
            request("POST", f"{program.url}/callbacks/aliyun/lessons?token={TOKEN}", file_created()),
            request("GET", f"{program.url}/readyz"),
            request("GET", f"{program.url}/metrics"),
            request("GET", f"{program.url}/api/v1/recordings", headers=BEARER),
        ]
        wait_until(lambda: b"the worker waits" in program.log.read_bytes(), what="the worker's waiting")
    assert [answer.status for answer in answers] == [200, 200, 200, 503]
    checked = typed("doctor", environ=environ)
    shown = program.log.read_bytes() + b"".join(answer.body for answer in answers)
    shown += (checked.stdout + checked.stderr).encode()
    spool = (house.folder / "other" / "spool.db").read_bytes()
    for value in (password, TOKEN, API_TOKEN):
        assert value.encode() not in shown + spool
