#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# sysroot.sh DIR - makes DIR a sysroot for aarch64 on a Debian machine of another architecture.
#
# The cross compiler and qemu are installed if they are missing.  The libraries are only downloaded
# and unpacked into DIR, by an apt that keeps its lists and its state in DIR: what is installed here
# does not change, as arm64 packages of the same libraries cannot be installed beside these.
# A second call finds the work done.
set -eu
[ $# -eq 1 ] || { echo "use: sysroot.sh DIR" >&2; exit 1; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
packages="libutf8proc-dev libutf8proc2 libonig-dev libonig5 libjansson-dev libjansson4
          libcmocka-dev libcmocka0"

sh "$here/../../examples/need.sh" gcc-aarch64-linux-gnu g++-aarch64-linux-gnu qemu-user-static
[ "$(cat "$dir/done" 2>/dev/null)" = "$packages" ] && exit 0

apt=$dir/apt
rm -rf "$apt"
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
: >"$apt/status"
cat >"$apt/conf" <<END
#clear APT::Update;
#clear DPkg;
#clear APT::Architectures;
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
Dir::State::status "$apt/status";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt/cache";
END

# A source that has nothing for arm64 is no failure: what is missing shows in the download.
apt-get -c "$apt/conf" update >"$apt/log" 2>&1 || true
# shellcheck disable=SC2086
(cd "$apt" && apt-get -c "$apt/conf" download $packages) >>"$apt/log" 2>&1 ||
    { tail -n 30 "$apt/log" >&2; exit 1; }
for package in "$apt"/*.deb; do
    dpkg-deb -x "$package" "$dir"
done
rm -rf "$apt"
echo "$packages" >"$dir/done"
