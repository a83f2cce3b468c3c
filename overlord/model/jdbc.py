"""From the JDBC URI of a Postgres to the DSN that psycopg takes."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode

PREFIX = "jdbc:postgresql:"
# What both drivers know under the same name; the JDBC driver's other parameters tune the JDBC driver.
_SHARED = {"sslmode", "sslcert", "sslkey", "sslrootcert", "options"}


class NotPostgres(ValueError):
    """A URI of another database: the URI without its parameters."""


def parameters(uri: str) -> list[str]:
    """Names of the parameters of a URI, in order."""
    return [each.partition("=")[0] for each in uri.partition("?")[2].split("&") if each]


def dsn_from_jdbc(uri: str, user: str | None = None, password: str | None = None) -> str:
    """`postgresql://` DSN of a `jdbc:postgresql://` URI.

    Raises
    ------
    NotPostgres
        If the URI is of another database.
    """
    if not uri.startswith(PREFIX):
        raise NotPostgres(uri.split("?")[0])
    place, _, query = uri[len(PREFIX) :].partition("?")
    given = dict(parse_qsl(query))
    user, password = given.get("user") or user, given.get("password") or password
    login = quote(user, safe="") + (":" + quote(password, safe="") if password else "") + "@" if user else ""
    if not place.startswith("//"):  # jdbc:postgresql:db means a local server
        place = f"//localhost:5432/{place.lstrip('/')}"
    kept = {name: value for name, value in given.items() if name in _SHARED}
    if given.get("ssl", "").lower() == "true":
        kept.setdefault("sslmode", "require")
    if given.get("currentSchema"):
        kept.setdefault("options", f"-csearch_path={given['currentSchema']}")
    return f"postgresql://{login}{place[2:]}" + (f"?{urlencode(kept, quote_via=quote)}" if kept else "")
