"""`reelhook serve`, `web`, `work`, `poll`: the processes that run for long."""

from __future__ import annotations

import sys

import click

#: parts of the web server that can run alone
PARTS = ("callbacks", "api", "console")
#: parts that a later version brings
_LATER = ("console",)

_host = click.option(
    "--host",
    metavar="ADDRESS",
    help="Address to listen on.  [default: 127.0.0.1, or every address where PORT is set]",
)


@click.command()
@_host
def serve(host: str | None) -> None:
    """Run everything: the web server, the worker and, where queues are configured, a poller.

    Settings are checked first, and the database's tables brought up to date. A process that dies is started again.
    Ends with SIGTERM or Ctrl-C.
    """
    from webhook import processes

    sys.exit(processes.serve(host))


@click.command()
@_host
@click.option("--only", type=click.Choice(PARTS), help="Serve this part only.")
def web(host: str | None, only: str | None) -> None:
    """Run the web server: callbacks, API, health and metrics.

    PORT (8000) and WEB_CONCURRENCY (processes) are read from the environment.
    """
    if only in _LATER:
        raise click.UsageError(f"--only {only}: a later version brings the {only}; this one has callbacks and api")
    from webhook import processes

    processes.web(host, only=only)


@click.command()
def work() -> None:
    """Run a worker: read what was kept, fold it into the catalogue.

    Any number of workers may run at once. Ends with SIGTERM or Ctrl-C, after what it has in hand.
    """
    from webhook import processes

    processes.work()


@click.command()
def poll() -> None:
    """Fetch callbacks from queues: all of the [queues.NAME] tables of reelhook.toml.

    A message is deleted only after it is kept. Several of these may share a queue. Where no queue is configured there
    is nothing to fetch: it says so and waits for SIGTERM. Ends with SIGTERM or Ctrl-C, after what it has in hand.
    """
    from webhook import processes

    processes.poll()
