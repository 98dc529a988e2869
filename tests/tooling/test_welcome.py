"""What `make run` says when the app is ready: it is true of the settings, and shows no key but the local one."""

import json

from scripts.check_settings import APP, SAMPLE
from scripts.welcome import KEY, welcome

VALUES: dict[str, str] = json.loads((APP / SAMPLE).read_text("utf-8"))["Values"]


def test_a_local_app_names_its_page_its_key_and_what_to_try():
    text = welcome(VALUES)
    assert f"{{address}}/studio/#key={KEY}" in text
    assert "{address}/language/openapi.json" in text
    assert all(command in text for command in ("make demo PORT=0", "curl -H", "labelbridge login {address}"))


def test_the_command_line_is_signed_in_to_the_local_storage_where_its_ports_are_the_usual_ones():
    assert f"--key {KEY} --storage UseDevelopmentStorage=true\n" in welcome(
        VALUES | {"AZURITE_PORT": "10000"}
    )
    assert "--storage" not in welcome(VALUES | {"AZURITE_PORT": "0"})


def test_another_key_is_not_shown():
    other = [{"name": "ana", "sha256": "0" * 64, "roles": ["*"]}]
    text = welcome(VALUES | {"API_KEYS": json.dumps(other)})
    assert "{address}/studio/  (sign in with a key of API_KEYS)" in text
    assert KEY not in text
    assert "#key" not in text


def test_without_keys_people_sign_in_with_their_account():
    text = welcome(VALUES | {"AUTH_MODE": "entra"})
    assert "sign in with your work account" in text
    assert KEY not in text
