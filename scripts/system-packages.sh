#!/usr/bin/env bash
# Install the named Debian packages that are missing; as root, or with a sudo that asks no password.
# NAME, or NAME:COMMAND where the package is not needed as soon as there is a command of another name.
set -euo pipefail

missing=()
for package in "$@"; do
  name=${package%%:*} command=${package##*:}
  dpkg -s "$name" >/dev/null 2>&1 || command -v "$command" >/dev/null || missing+=("$name")
done
[ ${#missing[@]} -eq 0 ] && exit 0

refuse() { echo "setup: missing ${missing[*]}: install it by hand (Debian: apt-get install ${missing[*]})" >&2; exit 1; }
command -v apt-get >/dev/null || refuse
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  sudo -n true 2>/dev/null || refuse
  as_root=(sudo -n)
fi
echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes
"${as_root[@]}" apt-get update -qq && "${as_root[@]}" apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null || refuse
