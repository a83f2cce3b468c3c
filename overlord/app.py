"""The web application: one blueprint a resource, put together here."""

from __future__ import annotations

from flask import Flask

from overlord.api import (
    actions,
    chat,
    compaction,
    datasources,
    duties,
    events,
    explain,
    leader,
    locks,
    metrics,
    negotiation,
    openapi,
    pending_segments,
    progress,
    sampler,
    status,
    supervisors,
    tasks,
    wire,
    worker_routes,
    workers,
)
from overlord.http import HttpServer, WaitingPool
from overlord.services import Services

BLUEPRINTS = (
    tasks,
    explain,
    progress,
    actions,
    supervisors,
    events,
    sampler,
    workers,
    pending_segments,
    locks,
    datasources,
    compaction,
    duties,
    leader,
    status,
    metrics,
    openapi,
)


def create_app(services: Services, *, waiting: WaitingPool | None = None) -> Flask:
    """The application over one server's parts.

    Parameters
    ----------
    services : Services
    waiting : WaitingPool, optional
        Permits for calls that wait, shared with the HTTP server; a small pool of its own unless given.
    """
    app = Flask("overlord", static_folder=None)
    app.extensions["services"] = services
    app.extensions["waiting"] = waiting or WaitingPool(4)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    metrics.install(app)
    wire.install(app)
    app.before_request(leader.to_leader)
    negotiation.install(app)
    for module in BLUEPRINTS:
        app.register_blueprint(module.bp)
    app.register_blueprint(worker_routes.bp)
    app.register_blueprint(chat.bp)
    return app


def create_server(services: Services) -> HttpServer:
    """The application with the HTTP server it runs in, as the settings say; not started."""
    settings = services.settings
    waiting = WaitingPool(settings["ovl.http.waitingThreads"])
    return HttpServer(
        create_app(services, waiting=waiting),
        settings["ovl.http.host"],
        settings["ovl.http.port"],
        threads=settings["ovl.http.threads"],
        waiting=waiting,
        max_body_bytes=settings["ovl.http.maxBodyBytes"],
    )
