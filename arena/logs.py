"""Log lines of the server's processes: text for a terminal, or a JSON object each for programs that collect them."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import time
from typing import Any

from trainer.verse.text import sanitize

VARIABLE = "ARENA_LOG_FORMAT"  # child processes inherit it


class TextFormatter(logging.Formatter):
    """A line with level and message, in which nothing steers a terminal or looks like another line."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (of the standard library)
        """Return the line, without the traceback."""
        return f"{record.levelname} {sanitize(record.message)}"


class JsonFormatter(logging.Formatter):
    """A JSON object: time (UTC), level, message, logger, process, and the traceback of an error."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object as one line."""
        milliseconds = int(record.created * 1000)
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000))
        line: dict[str, Any] = {
            "time": f"{at}.{milliseconds % 1000:03}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "logger": record.name,
            "process": record.process,
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)  # escapes line ends and everything beyond ASCII


class EndingFilter(logging.Filter):
    """Says in our words what granian says of requests that did not end before the server did."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record, that one with another message."""
        if record.getMessage().endswith("after it refused to gracefully stop"):
            record.msg, record.args = "requests that had not ended were cut off", ()
        return True


def choose(wanted: str) -> None:
    """Set the format for this process and its children; "text" or "json"."""
    os.environ[VARIABLE] = wanted


def formatter() -> logging.Formatter:
    """Return the formatter that was chosen."""
    return JsonFormatter() if os.environ.get(VARIABLE) == "json" else TextFormatter()


def config(level: int = logging.WARNING) -> dict[str, Any]:
    """Return the configuration of logging for `logging.config.dictConfig`, and for granian.

    Args:
        level: records below it are dropped.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": "arena.logs.formatter"}},
        "filters": {"ending": {"()": "arena.logs.EndingFilter"}},
        "handlers": {  # standard error
            "console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["ending"]}
        },
        "root": {"level": level, "handlers": ["console"]},
        "loggers": {},
    }


def configure(level: int = logging.WARNING) -> None:
    """Set up logging in this process.

    Args:
        level: records below it are dropped.
    """
    logging.config.dictConfig(config(level))
