"""Settings of the app's own pages: rows of `turbine.settings.Settings`."""

import ssl
from typing import Any

from turbine import _parsers as read
from turbine._credentials import ssl_context
from turbine._setting import Setting

__all__ = ["LAST_PORT", "WebRows"]

LAST_PORT = 65_535


class WebRows:
    """The rows; what reads them is `turbine.settings.Settings`."""

    web_enabled = Setting(
        read.boolean,
        True,
        "Whether the worker serves HTTP.",
        legacy_env=("APP_WEB_ENABLED",),
        flag="worker --with-web, --without-web",
    )
    web_port = Setting(
        read.integer(least=0, most=LAST_PORT, none_of="a port"),
        6_066,
        "Port of the app's own pages. The default moves to the next free port when it is taken.",
        legacy_env=("WEB_PORT",),
        flag="worker -p, --web-port",
    )
    web_bind = Setting(
        read.text,
        "127.0.0.1",
        "Address that the app's own pages are served at; 0.0.0.0 in programs of turbine.faust.",
        legacy_env=("WEB_BIND",),
        flag="worker -b, --web-bind",
    )
    web_transport = Setting(
        read.optional(read.text),
        None,
        "unix:///PATH to serve the app's own pages at a socket there, for a server in front.",
        flag="worker --web-transport",
    )
    web_host = Setting(
        read.optional(read.text),
        None,
        "Name under which other workers reach the pages of this one; this machine's name if not "
        "set.",
        legacy_env=("WEB_HOST",),
        flag="worker -h, --web-host",
    )
    canonical_url = Setting(
        read.optional(read.url),
        None,
        "Address under which other workers reach the pages of this one, instead of web_host and "
        "web_port.",
        legacy_env=("NODE_CANONICAL_URL",),
    )
    web_cors_options = Setting[Any](
        read.mapping, {}, "Origins that may use the pages from a browser, and what they may do."
    )
    web_ssl_context = Setting[ssl.SSLContext | None](
        ssl_context, None, "Certificate to serve the pages with."
    )
    web_stats_enabled = Setting(
        read.boolean,
        True,
        "Whether the page / is served.",
        legacy_env=("APP_WEB_STATS_ENABLED",),
    )
    web_graph_enabled = Setting(
        read.boolean,
        True,
        "Whether the page /graph is served.",
        legacy_env=("APP_WEB_GRAPH_ENABLED",),
    )
    web_router_enabled = Setting(
        read.boolean,
        True,
        "Whether the page /router is served.",
        legacy_env=("APP_WEB_ROUTER_ENABLED",),
    )
    web_tables_enabled = Setting(
        read.boolean,
        True,
        "Whether the pages /table are served.",
        legacy_env=("APP_WEB_TABLES_ENABLED",),
    )
    web_metrics_enabled = Setting(
        read.boolean,
        True,
        "Whether the page /metrics is served.",
        legacy_env=("APP_WEB_METRICS_ENABLED",),
    )
