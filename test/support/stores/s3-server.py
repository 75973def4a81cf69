"""An S3 server for tests: OpenStack Swift with its S3 face, in one process over one folder, on a free port.

Usage: s3-server.py FOLDER SECRET. Its only access key is `tests:tester`. Prints `port N` when it takes requests and
ends with its standard input.
"""

import os
import sys

import eventlet

eventlet.monkey_patch(thread=False)

from eventlet import hubs, wsgi
from swift.common import utils

# Otherwise read from /etc/swift/swift.conf, which a machine that only tests does not have.
utils.HASH_PATH_SUFFIX = b'tests'

from swift.account.server import AccountController
from swift.common.exceptions import DiskFileNotExist
from swift.common.ring import RingBuilder
from swift.common.wsgi import ConfigString, loadapp
from swift.container.server import ContainerController
from swift.obj.diskfile import DiskFile, DiskFileManager
from swift.obj.server import ObjectController

# Lists come in pages of 50, so that a test need not store the 1,000 objects of a usual page. There is no other copy to
# turn to, so a server behind the proxy that is slow on a busy machine is waited for and never avoided.
PROXY = """
[DEFAULT]
swift_dir = {folder}
log_level = ERROR

[pipeline:main]
pipeline = catch_errors listing_formats cache s3api tempauth bulk slo proxy-server

[filter:catch_errors]
use = egg:swift#catch_errors

[filter:listing_formats]
use = egg:swift#listing_formats

[filter:cache]
use = egg:swift#memcache

[filter:s3api]
use = egg:swift#s3api
max_bucket_listing = 50
auth_pipeline_check = false

[filter:tempauth]
use = egg:swift#tempauth
user_tests_tester = {secret} .admin

[filter:bulk]
use = egg:swift#bulk

[filter:slo]
use = egg:swift#slo

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
node_timeout = 60
recoverable_node_timeout = 60
conn_timeout = 60
error_suppression_interval = 0
error_suppression_limit = 1000000
"""

SERVERS = {'account': AccountController, 'container': ContainerController, 'object': ObjectController}


class ConsistentDiskFile(DiskFile):
    """Looks again for a file that is gone: Swift lists an object's folder and opens what it saw, which a request that replaces the
    object may have removed in between. S3 has no such moment
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel)."""

    def open(self, *args, **kwargs):
        try:
            return super().open(*args, **kwargs)
        except DiskFileNotExist:
            return super().open(*args, **kwargs)


DiskFileManager.diskfile_cls = ConsistentDiskFile


class NoLog:
    def write(self, _line):
        pass


def serve(kind, controller, folder, conf):
    """Starts one of the servers behind the proxy, and writes the ring that tells the proxy where it is."""
    listener = eventlet.listen(('127.0.0.1', 0))
    builder = RingBuilder(2, 1, 1)
    port = listener.getsockname()[1]
    device = {'id': 0, 'region': 1, 'zone': 0, 'ip': '127.0.0.1', 'port': port, 'device': 'd1', 'weight': 1.0}
    builder.add_dev(device)
    builder.rebalance()
    builder.get_ring().save(os.path.join(folder, kind + '.ring.gz'))
    eventlet.spawn(wsgi.server, listener, controller(conf), NoLog())


def end_with_input():
    hubs.trampoline(sys.stdin.fileno(), read=True)
    os._exit(0)


def main(folder, secret):
    storage = os.path.join(folder, 'storage')
    os.makedirs(os.path.join(storage, 'd1'))
    conf = {
        'devices': storage,
        'swift_dir': folder,
        'mount_check': 'false',
        'fallocate_reserve': '0',
        'conn_timeout': '60',
        'node_timeout': '60',
        'log_level': 'ERROR',
    }
    for kind, controller in SERVERS.items():
        serve(kind, controller, folder, conf)
    app = loadapp(ConfigString(PROXY.format(folder=folder, secret=secret)))
    listener = eventlet.listen(('127.0.0.1', 0))
    eventlet.spawn(end_with_input)
    print('port', listener.getsockname()[1], flush=True)
    wsgi.server(listener, app, NoLog(), max_size=1000)


main(*sys.argv[1:])
