"""The Overlord at the other end of `--url`, ours or Druid's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import requests

from overlord.errors import OverlordError

API = "/druid/indexer/v1"


class Remote:
    """Calls over one connection.

    Parameters
    ----------
    url : str
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._session = requests.Session()

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of a GET; raises OverlordError with the server's own text."""
        return self._call("GET", path, params=params).json()

    def post(self, path: str, body: Any = None) -> Any:
        """The JSON of a POST; None for an empty body."""
        answer = self._call("POST", path, json=body, headers={"Content-Type": "application/json"})
        return answer.json() if answer.content else None

    def lines(self, path: str, **params: Any) -> Iterator[str]:
        """A text as it comes."""
        with self._call("GET", path, params=params, stream=True, timeout=(5, 3600)) as answer:
            yield from answer.iter_content(None, decode_unicode=True)

    def task(self, task_id: str, what: str = "") -> Any:
        """One of the routes below a task."""
        return self.get(f"/task/{quote(task_id, safe='')}{what}")

    def segments(self, datasource: str) -> list[dict[str, Any]]:
        """Used segments of a datasource, the visible ones, by the action that tasks use."""
        asker = {"type": "noop", "id": "overlord-cli", "groupId": "overlord-cli", "dataSource": datasource}
        action = {
            "type": "segmentListUsed",
            "dataSource": datasource,
            "intervals": ["-146136543-09-08T08:23:32.096Z/146140482-04-24T15:36:27.903Z"],
        }
        found: list[dict[str, Any]] = self.post("/action", {"task": asker, "action": action})["result"]
        return sorted(found, key=lambda each: (each["interval"], each["version"], each["identifier"]))

    def _call(self, method: str, path: str, **how: Any) -> requests.Response:
        how.setdefault("timeout", (5, 60))
        try:
            answer = self._session.request(method, self.url + API + path, **how)
        except requests.RequestException as error:
            raise OverlordError(
                f"No Overlord answers at {self.url}: {_brief(error)}",
                hint="start one with `overlord serve`, or say where it is with --url",
            ) from None
        if answer.status_code >= 400:
            headers = answer.headers  # ours say more than Druid's bodies can
            raise OverlordError(_text(answer), where=headers.get("X-Ovl-Where"), hint=headers.get("X-Ovl-Hint"))
        return answer


def _brief(error: Exception) -> str:
    return "connection refused" if "refused" in str(error) else str(error)


def _text(answer: requests.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return answer.text.strip() or f"HTTP {answer.status_code} from {answer.url}"
    if isinstance(body, dict):
        return str(body.get("errorMessage") or body.get("error") or body)
    return str(body)
