#!/usr/bin/env bash
# Final stage: installs the Debian packages that the programs load, adds the user that they run as (the one
# of the Helm chart), and takes away what no server needs.
#
#   docker/steps/install-runtime.sh PACKAGE_LIST
set -euo pipefail

export DEBIAN_FRONTEND=noninteractive
mapfile -t packages <"$1"
apt-get -q -o Acquire::Retries=3 update
apt-get -q -y -o Acquire::Retries=3 install --no-install-recommends "${packages[@]}"
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/debconf/* /var/log/apt /var/log/dpkg.log /var/log/alternatives.log

groupadd --gid 10001 ilf
useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin ilf
find / -xdev -type f -perm /6000 -exec chmod a-s {} +
