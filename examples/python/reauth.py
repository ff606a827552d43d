"""A session that outlives its certificate: docs/protocol.md, *Re-authentication in place*. To be copied into a service.

Nothing here touches a socket, so that it serves any WebSocket library, blocking or asyncio; gateway.py shows how.
"""

import logging
import time
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

log = logging.getLogger(__name__)

OPERATION_ID = 2**53 - 1  # the highest there is: a program that counts its own ids never gets there
FILE_POLL_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 3600


class Renewal:
    """Answers the gateway's demands for a proof with what the certificate files hold by then.

    Hand every message of the gateway to `take`, and send what `operation` returns, if anything: ask it after each
    message, and every `FILE_POLL_SECONDS` while `is_waiting`, because the new certificate may come after the demand.
    """

    def __init__(self, host, chain_path, key_path):
        self.host, self.chain_path, self.key_path = host, chain_path, key_path
        self.proofs = 0
        self._session = self._challenge = self._deadline = self._sent = self._refused = None
        self._complaint, self._next_look = None, 0.0

    @property
    def is_waiting(self):
        return self._deadline is not None and self._sent is None

    def take(self, message):
        """Whether the message was for nobody but this."""
        self._challenge = message.get("challenge", self._challenge)
        if message["op"] == "hello":
            self._session = message["session"]
        elif message["op"] == "reauth_required":
            # Another demand is another reason to try what was refused.
            self._deadline, self._refused, self._next_look = message["deadline"], None, 0.0
            return True
        elif message.get("id") == OPERATION_ID:
            self._settle(message)
            return True
        return False

    def operation(self):
        """The `reauth` to send, once the files hold a certificate that lasts beyond the gateway's deadline."""
        if not self.is_waiting or time.monotonic() < self._next_look:
            return None
        self._next_look = time.monotonic() + FILE_POLL_SECONDS
        try:
            chain, key = load(self.chain_path, self.key_path)
            if not self._is_worth_a_try(chain[0]):
                return None
            proof = prove(chain, key, self.host, self._session, self._challenge)
        except (OSError, TypeError, ValueError, UnsupportedAlgorithm) as fault:
            self._complain(f"no proof can be made of {self.chain_path} and {self.key_path}: {fault}")
            return None
        self._sent = chain[0]
        return {"op": "reauth", "id": OPERATION_ID} | proof

    def _is_worth_a_try(self, leaf):
        # The third failure closes the session, so that what was refused for good is not tried again.
        return leaf.not_valid_after_utc.timestamp() * 1000 > self._deadline and leaf != self._refused

    def _settle(self, answer):
        if answer["op"] == "ok":
            self.proofs += 1
            self._deadline = self._complaint = None
        else:
            self._complain(f"the gateway did not take the certificate: {answer['code']}: {answer['reason']}")
            if (wait := answer.get("retry_after_ms")) is None:
                self._refused = self._sent
            else:
                # It may be good, then: the gateway's revocation list is stale, or the certificate not valid yet.
                self._next_look = time.monotonic() + min(wait / 1000, LONGEST_WAIT_SECONDS)
        self._sent = None

    def _complain(self, complaint):
        if complaint != self._complaint:
            log.warning(complaint)
        self._complaint = complaint


def load(chain_path, key_path):
    """The chain, leaf first, and its key. ValueError if they do not fit, as between the writes of two files."""
    chain = x509.load_pem_x509_certificates(Path(chain_path).read_bytes())
    key = serialization.load_pem_private_key(Path(key_path).read_bytes(), password=None)
    if key.public_key() != chain[0].public_key():
        raise ValueError("the key does not fit the certificate")
    return chain, key


def prove(chain, key, host, session, challenge):
    """The fields of `reauth`: chain and key as `load` gives them, challenge as the gateway sent it."""
    certificates = [certificate.public_bytes(serialization.Encoding.DER) for certificate in chain]
    scheme, signature = sign(key, signed_bytes(host, session, b64decode(challenge), certificates[0]))
    return {
        "chain": [b64encode(certificate).decode() for certificate in certificates],
        "host": host,
        "scheme": scheme,
        "signature": b64encode(signature).decode(),
    }


def signed_bytes(host, session, challenge, leaf):
    name = host.encode()
    parts = [b" " * 64, b"portcullis reauth v1\0", len(name).to_bytes(2, "big"), name]
    return b"".join(parts + [session.encode(), challenge, sha256(leaf).digest()])


def sign(key, data):
    """The IANA name of the signature scheme, and the signature."""
    match key:
        case ed25519.Ed25519PrivateKey():
            return "ed25519", key.sign(data)
        case ec.EllipticCurvePrivateKey(curve=ec.SECP256R1()):
            return "ecdsa_secp256r1_sha256", key.sign(data, ec.ECDSA(hashes.SHA256()))
        case ec.EllipticCurvePrivateKey(curve=ec.SECP384R1()):
            return "ecdsa_secp384r1_sha384", key.sign(data, ec.ECDSA(hashes.SHA384()))
        case rsa.RSAPrivateKey():
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
            return "rsa_pss_rsae_sha256", key.sign(data, pss, hashes.SHA256())
    raise ValueError("no signature scheme of TLS 1.3 fits this key")
