"""The peer: FastAPI on uvicorn, with uvloop and httptools where they are installed. Answers a status as JSON."""

import json
import socket
import sys

import uvicorn
from fastapi import FastAPI

ANSWER = json.loads(sys.argv[1])
app = FastAPI()


@app.get("/status/{job_id}")
async def status(job_id: str):
    return ANSWER


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
server = uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning"))
server.run(sockets=[listener])
