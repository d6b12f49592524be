"""The yardstick of sigv4: what botocore signs.

    python3 sigv4.py              writes tests/data/vectors/sigv4.json to standard output
    python3 sigv4.py check        reads one request as JSON, and prints the Authorization that it should have
"""
import datetime
import hashlib
import json
import sys
from unittest import mock

from botocore import auth, awsrequest
from botocore.credentials import Credentials

NAMES = ("content-type",)


def authorization(v):
    credentials = Credentials(v["key_id"], v["secret"], v["token"])
    body = v["body"].encode()
    headers = {n: x for n, x in v["headers"] if n in NAMES or n.startswith("x-amz-")}
    # Of our own: sent always, as the S3 signer does.
    headers["x-amz-content-sha256"] = hashlib.sha256(body).hexdigest()
    request = awsrequest.AWSRequest(v["method"], f"https://{v['host']}{v['target']}", headers=headers, data=body)
    kind = auth.S3SigV4Auth if v["service"].startswith("s3") else auth.SigV4Auth
    at = datetime.datetime.fromtimestamp(v["now"], datetime.timezone.utc).replace(tzinfo=None)
    clock = mock.MagicMock(wraps=datetime.datetime)
    clock.utcnow.return_value = at
    clock.now.return_value = at
    names = [name for name in ("get_current_datetime",) if hasattr(auth, name)]
    patches = [mock.patch.object(auth, name, lambda *_, **__: at) for name in names]
    if not patches:
        patches = [mock.patch("botocore.auth.datetime.datetime", clock)]
    for patch in patches:
        patch.start()
    kind(credentials, v["service"], v["region"]).add_auth(request)
    for patch in patches:
        patch.stop()
    return request.headers["Authorization"]


def vectors():
    def one(method, target, service="execute-api", headers=(), body="", token=None, host="api.example.com"):
        return {
            "method": method, "target": target, "host": host, "headers": [list(h) for h in headers], "body": body,
            "now": 1767323045, "region": "eu-central-1", "service": service, "key_id": "AKIDEXAMPLE",
            "secret": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "token": token,
        }

    json_type = ("content-type", "application/json; charset=utf-8")
    all = [
        one("GET", "/"),
        one("GET", "/a/b/c?b=2&a=1&a=0&empty="),
        one("GET", "/a%20b/%C3%A4?q=%20x%2Fy&t=~-._"),
        one("GET", "/a//b/./c/../d/"),
        one("POST", "/things", headers=[json_type], body='{"name":"\u00e4"}'),
        one("POST", "/", "dynamodb", [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "DynamoDB_20120810.ListTables")], "{}"),
        one("GET", "/", "sts", token="FwoGZXIvYXdzEXAMPLETOKEN=="),
        one("GET", "/bucket/key%20with%20spaces/%2B%28x%29?list-type=2&prefix=a%2Fb", "s3", host="s3.eu-central-1.amazonaws.com"),
        one("PUT", "/bucket/a//b/../c", "s3", [("x-amz-acl", "private"), ("content-type", "text/plain")], "content"),
        one("DELETE", "/bucket/%C3%A4", "s3", token="SESSION"),
        one("GET", "/", host="api.example.com:8443"),
        one("PATCH", "/x?flag", headers=[("x-amz-meta-a", "  two   words ")], body="p"),
        one("GET", "/x?a=b%3Dc&a%5B%5D=1"),
    ]
    for v in all:
        v["authorization"] = authorization(v)
    return all


if sys.argv[1:] == ["check"]:
    print(authorization(json.load(sys.stdin)))
else:
    json.dump(vectors(), sys.stdout, indent=1)
    print()
