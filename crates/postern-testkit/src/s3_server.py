"""Object storage for tests: moto's S3 server, which keeps locked objects, behind a check of signatures.

The server itself does not look at signatures in a URL, so they are computed here once more with AWS's own library.
Arguments: port, access key, secret key.
"""

import sys
from urllib.parse import parse_qsl, quote

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

PORT, ACCESS, SECRET = int(sys.argv[1]), sys.argv[2], sys.argv[3]


class Expected(S3SigV4QueryAuth):
    """Computes the signature of a request whose URL has all of its parameters already."""

    def of(self, request, timestamp):
        request.context["timestamp"] = timestamp
        canonical = self.canonical_request(request)
        return self.signature(self.string_to_sign(request, canonical), request)


def is_signed(environ):
    query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
    signature = query.pop("X-Amz-Signature", None)
    if signature is None or not query.get("X-Amz-Credential", "").startswith(ACCESS + "/"):
        return False
    names = query["X-Amz-SignedHeaders"].split(";")
    headers = {name: environ.get("HTTP_" + name.upper().replace("-", "_"), "") for name in names}
    # All that says how the object is kept must be signed.
    locked = {"x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-checksum-sha256"}
    if not locked.issubset(names):
        return False
    region = query["X-Amz-Credential"].split("/")[2]
    url = "http://%s%s?%s" % (
        headers["host"],
        quote(environ["PATH_INFO"], safe="/~"),
        "&".join("%s=%s" % (quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in sorted(query.items())),
    )
    request = AWSRequest(method=environ["REQUEST_METHOD"], url=url, headers=headers)
    auth = Expected(Credentials(ACCESS, SECRET), "s3", region)
    return auth.of(request, query["X-Amz-Date"]) == signature


def application(environ, start_response, inner=DomainDispatcherApplication(create_backend_app)):
    # The tests' own client signs in a header, which the server knows.
    if "HTTP_AUTHORIZATION" not in environ and not is_signed(environ):
        start_response("403 Forbidden", [("content-type", "application/xml")])
        return [b"<Error><Code>SignatureDoesNotMatch</Code></Error>"]
    return inner(environ, start_response)


run_simple("127.0.0.1", PORT, application, threaded=True)
