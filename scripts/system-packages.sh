#!/usr/bin/env bash
# Install the named Debian packages that are missing; as root, or with a sudo that asks no password.
set -euo pipefail

missing=()
for package in "$@"; do
  dpkg -s "$package" >/dev/null 2>&1 || command -v "$package" >/dev/null || missing+=("$package")
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
