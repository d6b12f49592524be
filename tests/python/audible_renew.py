"""Renews the token with the `audible` library's own call, and prints what it holds then.

audible_renew.py AUTH_FILE
"""

import json
import sys

import audible

auth = audible.Authenticator.from_file(sys.argv[1])
auth.refresh_access_token(force=True)
print(json.dumps({"access_token": auth.access_token, "expires": auth.expires}))
