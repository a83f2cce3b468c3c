"""From the JDBC URI of Druid's configuration to the DSN that psycopg takes."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode

from overlord.errors import SettingError

_PREFIX = "jdbc:postgresql:"
# What both drivers know under the same name; the JDBC driver's other parameters tune the JDBC driver.
_SHARED = {"sslmode", "sslcert", "sslkey", "sslrootcert", "options"}


def dsn_from_jdbc(uri: str, user: str | None = None, password: str | None = None) -> str:
    """`postgresql://` DSN of a `jdbc:postgresql://` URI.

    Raises
    ------
    SettingError
        If the URI is of another database.
    """
    if not uri.startswith(_PREFIX):
        raise SettingError(
            f"druid.metadata.storage.connector.connectURI {uri.split('?')[0]!r} is not of a Postgres",
            hint="only jdbc:postgresql://host:port/db is supported; leave it out for the embedded Postgres",
        )
    place, _, query = uri[len(_PREFIX) :].partition("?")
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
