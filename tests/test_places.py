"""Questions never take the threads that callbacks need."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from callbacks import file_created
from conftest import API_TOKEN, TOKEN

from handlers.database import Database
from handlers.migrate import upgrade
from handlers.settings import load
from handlers.vendors import VENDORS
from webhook.app import create_app
from webhook.places import PLACES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["sqlite"])
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/data/reelhook.db"


def test_questions_that_hang_leave_room_for_callbacks(environ: dict[str, str]) -> None:
    settings = load(environ, vendors=tuple(VENDORS))
    database = Database(settings.database_url)
    upgrade(database)
    app = create_app(settings)
    hanging, go_on = threading.Semaphore(0), threading.Event()

    @app.get("/hang")
    def hang() -> str:
        hanging.release()
        go_on.wait(20)
        return "done"

    threads = [threading.Thread(target=lambda: app.test_client().get("/hang")) for _ in range(PLACES)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert hanging.acquire(timeout=20)

    client = app.test_client()
    question = client.get("/api/v1/recordings", headers={"Authorization": f"Bearer {API_TOKEN}"})
    callback = client.post(f"/callbacks/aliyun/lessons?token={TOKEN}", data=file_created())
    health = client.get("/livez")
    go_on.set()
    for thread in threads:
        thread.join()

    assert (question.status_code, question.headers["Retry-After"]) == (503, "1")
    assert question.content_type == "application/problem+json"
    assert callback.status_code == 200
    assert health.status_code == 200
    again = client.get("/api/v1/recordings", headers={"Authorization": f"Bearer {API_TOKEN}"})
    assert again.status_code == 200
    database.close()
