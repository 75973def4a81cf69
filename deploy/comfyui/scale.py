#!/usr/bin/env python3
"""Starts and stops an engine when a gateway calls for it at ENGINE_WAKE_URL.

Verifies each call (https://www.standardwebhooks.com), and runs a command of yours, at most once for each need and one at
a time. Needs Python 3.8 and nothing else.

  ENGINE_WAKE_SECRET=whsec_... START='docker start comfyui' STOP='docker stop comfyui' python3 scale.py

Settings, as environment variables:

  ENGINE_WAKE_SECRET  the secret of the gateway
  START, STOP         shell commands for engines.wanted and engines.idle; the body of the call is in $CALL
  PORT, HOST          where it listens; default: 9000 at 127.0.0.1

A command that fails is run again with the next call, which the gateway makes after a minute or more.
"""

import base64
import hmac
import http.server
import json
import os
import subprocess
import sys
import threading
import time

TOLERANCE_S = 300
LONGEST_BODY = 65536
secret = base64.b64decode(os.environ["ENGINE_WAKE_SECRET"].split("_", 1)[1])
commands = {"engines.wanted": os.environ["START"], "engines.idle": os.environ["STOP"]}
done = set()
turn = threading.Lock()


def is_genuine(headers, body):
    call, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not at.isdigit() or abs(time.time() - int(at)) > TOLERANCE_S:
        return False
    digest = hmac.digest(secret, f"{call}.{at}.".encode() + body, "sha256")
    expected = "v1," + base64.b64encode(digest).decode()
    given = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(one.encode(), expected.encode()) for one in given)


def run(need, body):
    with turn:
        if need in done:
            return
        event = json.loads(body)["type"]
        print(event, need, flush=True)
        result = subprocess.run(commands[event], shell=True, env={**os.environ, "CALL": body.decode()})
        if result.returncode == 0:
            done.add(need)
        else:
            print(f"{event}: the command ended with {result.returncode}", file=sys.stderr, flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    timeout = 10

    def do_POST(self):
        length = self.headers.get("content-length", "")
        body = self.rfile.read(int(length)) if length.isdigit() and int(length) <= LONGEST_BODY else b""
        genuine = is_genuine(self.headers, body)
        self.send_response(204 if genuine else 401)
        self.end_headers()
        if genuine:
            # The gateway need not wait for the command.
            threading.Thread(target=run, args=(self.headers["webhook-id"], body)).start()

    def do_HEAD(self):
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


address = (os.environ.get("HOST") or "127.0.0.1", int(os.environ.get("PORT") or 9000))
server = http.server.ThreadingHTTPServer(address, Handler)
print(f"Takes calls at http://{server.server_address[0]}:{server.server_address[1]}/", flush=True)
server.serve_forever()
