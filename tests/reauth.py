"""What examples/python/reauth.py promises. The Rust client holds itself against the same vector.

Usage: PYTHON tests/reauth.py, with cryptography installed; the exit code is 1 if anything failed.
"""

import datetime
import json
import logging
import sys
import tempfile
import time
import unittest
from base64 import b64decode, b64encode
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS.parent / "examples/python"))
sys.dont_write_bytecode = True

import reauth  # noqa: E402

NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "orders")])
HELLO = {"op": "hello", "session": "00112233445566778899aabbccddeeff", "challenge": b64encode(b"h" * 32).decode()}


def certificate(key, seconds):
    builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + datetime.timedelta(seconds=seconds))
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm)


def demand(seconds, challenge=b"d" * 32):
    deadline = int(NOW.timestamp() + seconds) * 1000
    return {"op": "reauth_required", "challenge": b64encode(challenge).decode(), "deadline": deadline, "cause": "any"}


class Proof(unittest.TestCase):
    def test_what_is_signed_is_the_known_answer(self):
        vector = json.loads((TESTS / "vectors/reauth.json").read_text())
        challenge, leaf = b64decode(vector["challenge"]), b64decode(vector["leaf"])
        signed = reauth.signed_bytes(vector["host"], vector["session"], challenge, leaf)
        self.assertEqual(signed.hex(), vector["signed"])

    def test_each_kind_of_key_signs_by_the_scheme_of_its_name(self):
        def pss(public, signature):
            public.verify(signature, b"data", padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())

        cases = {
            "ed25519": (ed25519.Ed25519PrivateKey.generate(), lambda key, made: key.verify(made, b"data")),
            "ecdsa_secp256r1_sha256": (
                ec.generate_private_key(ec.SECP256R1()),
                lambda key, made: key.verify(made, b"data", ec.ECDSA(hashes.SHA256())),
            ),
            "ecdsa_secp384r1_sha384": (
                ec.generate_private_key(ec.SECP384R1()),
                lambda key, made: key.verify(made, b"data", ec.ECDSA(hashes.SHA384())),
            ),
            "rsa_pss_rsae_sha256": (rsa.generate_private_key(65537, 2048), pss),
        }
        for expected, (key, verify) in cases.items():
            scheme, signature = reauth.sign(key, b"data")
            self.assertEqual(scheme, expected)
            verify(key.public_key(), signature)

    def test_a_key_without_a_scheme_of_tls_1_3_is_refused(self):
        with self.assertRaises(ValueError):
            reauth.sign(ec.generate_private_key(ec.SECP256K1()), b"data")


class Renewal(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.chain, self.key = Path(folder.name, "chain.pem"), Path(folder.name, "key.pem")
        self.renewal = reauth.Renewal("gateway", self.chain, self.key)
        self.assertFalse(self.renewal.take(HELLO), "hello is for the program too")
        self.issue(60)

    def issue(self, seconds):
        key = ec.generate_private_key(ec.SECP256R1())
        pem = serialization.Encoding.PEM
        secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.key.write_bytes(secret)
        self.leaf = certificate(key, seconds)
        self.chain.write_bytes(self.leaf.public_bytes(pem))

    def look(self):
        """What there is to send if it is time to look at the files."""
        self.renewal._next_look = 0
        return self.renewal.operation()

    def answer(self, op, **fields):
        return self.renewal.take({"op": op, "id": reauth.OPERATION_ID, "challenge": HELLO["challenge"]} | fields)

    def refuse(self, code="reauth_failed", **fields):
        with self.assertLogs(reauth.log, logging.WARNING):
            self.answer("err", code=code, reason="no", **fields)

    def test_nothing_is_proved_unasked(self):
        self.assertIsNone(self.look())
        self.assertFalse(self.renewal.take({"op": "msg", "sid": 1, "topic": "a", "from": "b", "data": 1}))

    def test_a_demand_waits_for_a_certificate_that_lasts_longer(self):
        self.assertTrue(self.renewal.take(demand(60)))
        self.assertIsNone(self.look())
        self.assertTrue(self.renewal.is_waiting)
        self.issue(120)
        operation = self.look()
        self.assertEqual((operation["op"], operation["host"]), ("reauth", "gateway"))
        der = self.leaf.public_bytes(serialization.Encoding.DER)
        self.assertEqual(operation["chain"], [b64encode(der).decode()])
        signed = reauth.signed_bytes("gateway", HELLO["session"], b"d" * 32, der)
        self.leaf.public_key().verify(b64decode(operation["signature"]), signed, ec.ECDSA(hashes.SHA256()))
        self.assertIsNone(self.look(), "one proof at a time")
        self.assertTrue(self.answer("ok", deadline=1))
        self.assertEqual((self.renewal.proofs, self.renewal.is_waiting), (1, False))

    def test_the_files_are_not_read_for_every_message(self):
        self.renewal.take(demand(60))
        self.assertIsNone(self.renewal.operation())
        self.issue(120)
        self.assertIsNone(self.renewal.operation())
        self.renewal.take(demand(60))
        self.assertIsNotNone(self.renewal.operation(), "a demand is a reason to look")

    def test_a_maximum_age_is_met_by_the_same_certificate_again_and_again(self):
        for _ in range(3):
            self.renewal.take(demand(30))
            self.assertEqual(self.look()["op"], "reauth")
            self.answer("ok", deadline=1)

    def test_a_certificate_that_was_refused_is_not_tried_again(self):
        self.renewal.take(demand(30))
        self.assertIsNotNone(self.look())
        self.refuse()
        self.assertIsNone(self.look())
        self.issue(120)
        operation = self.look()
        signed = reauth.signed_bytes("gateway", HELLO["session"], b"h" * 32, b64decode(operation["chain"][0]))
        # The challenge is the one that came with the refusal.
        self.leaf.public_key().verify(b64decode(operation["signature"]), signed, ec.ECDSA(hashes.SHA256()))

    def test_what_may_be_good_later_is_tried_again_when_the_gateway_says(self):
        for code, wait in [("unavailable", 2_000), ("reauth_failed", 9_000), ("unavailable", 10**9)]:
            renewal = self.renewal = reauth.Renewal("gateway", self.chain, self.key)
            renewal.take(HELLO)
            renewal.take(demand(30))
            self.assertIsNotNone(renewal.operation())
            before = time.monotonic()
            self.refuse(code, retry_after_ms=wait)
            self.assertIsNone(renewal.operation(), "not before")
            self.assertTrue(renewal.is_waiting)
            waits = renewal._next_look - before
            self.assertAlmostEqual(waits, min(wait / 1000, reauth.LONGEST_WAIT_SECONDS), delta=1)
            self.assertIsNotNone(self.look(), "the same certificate again")

    def test_another_demand_is_a_reason_to_try_what_was_refused(self):
        self.renewal.take(demand(30))
        self.assertIsNotNone(self.look())
        self.refuse()
        self.renewal.take(demand(40))
        self.assertIsNotNone(self.look())

    def test_half_written_files_are_complained_of_once_and_read_again(self):
        self.renewal.take(demand(60))
        key = self.key.read_bytes()
        self.issue(120)
        fitting = self.key.read_bytes()
        self.key.write_bytes(key)
        with self.assertLogs(reauth.log, logging.WARNING):
            self.assertIsNone(self.look())
        with self.assertNoLogs(reauth.log, logging.WARNING):
            self.assertIsNone(self.look())
        self.key.write_bytes(fitting)
        self.assertIsNotNone(self.look())


if __name__ == "__main__":
    unittest.main()
