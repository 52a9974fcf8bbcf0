"""What Faust programs call for Prometheus: the worker has its metrics already."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turbine.app import App

__all__ = ["setup_prometheus_sensors"]


def setup_prometheus_sensors(
    app: "App", pattern: str = "/metrics", registry: object = None, name_prefix: object = None
) -> None:
    """
    Show the metrics of the worker's core as a page, at ``/metrics`` or somewhere else.

    Args:
        app: The app.
        pattern: Path of the page.
        registry: Taken, without effect: the names are those of the core.
        name_prefix: The same.
    """
    del registry, name_prefix

    async def metrics(web: Any, request: Any) -> Any:
        from turbine.web import builtin

        return await builtin.metrics(web, request)

    if pattern.rstrip("/") != "/metrics":
        app.page(pattern, name="prometheus")(metrics)
