#!/usr/bin/env python3
"""Keeps a ComfyUI registered as an engine of a gateway, from beside it.

Registers the ComfyUI once it responds, repeats that until SIGTERM or SIGINT, then signs off and waits until its
queue is empty. While ComfyUI does not respond nothing is sent, and the registration expires. Needs Python 3.8 and
nothing else.

  QWEN_EDIT_URL=https://edit.example.com ENGINE_KEY=qee_... python3 register.py

Settings, as environment variables:

  QWEN_EDIT_URL    URL of the gateway
  ENGINE_KEY       key whose entry is in ENGINE_KEYS of the gateway; or ENGINE_KEY_FILE, a file that holds it
  ENGINE_URL       URL at which the gateway reaches this ComfyUI; default: the address of this machine that leads to
                   the gateway, with the port of COMFYUI_LOCAL
  COMFYUI_LOCAL    URL of ComfyUI from here; default: http://127.0.0.1:8188
  ENGINE_TTL       seconds that a registration lasts, 10 to 86400; it is repeated three times in that; default: 60
  SIGN_OFF_WAIT    seconds that the running job may take after a sign-off; default: 600

Exit codes: 0 after a signal, 1 when the gateway rejects the engine, 2 when a setting is missing or wrong.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

TIMEOUT_S = 10
RETRY_S = 2
stopping = threading.Event()


def fail(code, text):
    print(text, file=sys.stderr, flush=True)
    sys.exit(code)


def say(text):
    print(text, flush=True)


def setting(name, default=None):
    value = os.environ.get(name) or default
    if value is None:
        fail(2, f"{name}: is required")
    return value


def seconds(name, default, least, most):
    text = setting(name, default)
    if not text.isdigit() or not least <= int(text) <= most:
        fail(2, f"{name}: takes an integer from {least} to {most}, got {text}")
    return int(text)


def read_key():
    path = os.environ.get("ENGINE_KEY_FILE")
    if not path:
        return setting("ENGINE_KEY")
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError as error:
        fail(2, f"ENGINE_KEY_FILE: cannot read {path}: {error.strerror}")


def own_url(gateway, local):
    """The URL of this machine's address on the way to the gateway. Sends nothing."""
    host = gateway.hostname
    port = gateway.port or (443 if gateway.scheme == "https" else 80)
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)
            own = probe.getsockname()[0]
    except OSError as error:
        fail(2, f"ENGINE_URL: is required, because this machine's address is unknown: {error}")
    return f"http://{f'[{own}]' if ':' in own else own}:{local.port or 80}"


def request(method, url, key=None, body=None):
    """The status and the JSON of the response, whatever the status. Raises OSError without a response."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    data = None
    if body is not None:
        headers["Content-Type"] = "application/json"
        data = json.dumps(body).encode()
    made = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(made, timeout=TIMEOUT_S) as response:
            status, raw = response.status, response.read()
    except urllib.error.HTTPError as error:
        status, raw = error.code, error.read()
    try:
        return status, json.loads(raw)
    except ValueError:
        return status, {}


def comfyui_responds(local):
    try:
        return request("GET", f"{local}/system_stats")[0] == 200
    except OSError:
        return False


def is_idle(local):
    """Whether ComfyUI's queue is empty; true as well if it does not respond."""
    try:
        _, queue = request("GET", f"{local}/queue")
    except OSError:
        return True
    return not queue.get("queue_running") and not queue.get("queue_pending")


def main():
    gateway = setting("QWEN_EDIT_URL").rstrip("/")
    parts = urllib.parse.urlsplit(gateway)
    local = setting("COMFYUI_LOCAL", "http://127.0.0.1:8188").rstrip("/")
    local_parts = urllib.parse.urlsplit(local)
    for name, given in (("QWEN_EDIT_URL", parts), ("COMFYUI_LOCAL", local_parts)):
        if given.scheme not in ("http", "https") or not given.hostname:
            fail(2, f"{name}: takes an http:// or https:// URL")
    key = read_key()
    ttl = seconds("ENGINE_TTL", "60", 10, 86400)
    patience = seconds("SIGN_OFF_WAIT", "600", 0, 86400)
    url = os.environ.get("ENGINE_URL") or own_url(parts, local_parts)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())

    engine = None
    trouble = None
    while not stopping.is_set():
        pause = RETRY_S
        if not comfyui_responds(local):
            now = f"{local} does not respond: not registered"
        else:
            try:
                status, answer = request(
                    "POST", f"{gateway}/engines", key, {"url": url, "ttl_seconds": ttl}
                )
            except OSError as error:
                now = f"{gateway} does not respond: {error}"
            else:
                detail = answer.get("detail", "")
                if status in (200, 201):
                    if engine is None or status == 201 or trouble is not None:
                        say(f"registered as {answer['id']}")
                    engine, now, pause = answer["id"], None, ttl / 3
                elif status == 429 or status >= 500:
                    now = f"{gateway} answered {status}: {detail}"
                else:
                    fail(1, f"{gateway} rejects {url}: {status} {detail}")
        if now is not None and now != trouble:
            say(now)
        trouble = now
        stopping.wait(pause)

    if engine is None:
        return
    try:
        status, answer = request("DELETE", f"{gateway}/engines/{urllib.parse.quote(engine, safe='')}", key)
        say("signed off" if status == 200 else f"could not sign off: {status} {answer.get('detail', '')}")
    except OSError as error:
        say(f"could not sign off: {error}; the registration expires")
    end = time.monotonic() + patience
    while time.monotonic() < end and not is_idle(local):
        time.sleep(0.5)


if __name__ == "__main__":
    main()
