#!/usr/bin/env bash
# Builds artifacts/dispatch_VERSION_ARCH.deb: the command with its runtime, a unit, a user, settings, a manual page, monitoring files.
# Needs no root: dpkg-deb makes everything root's.
set -euo pipefail
cd "$(dirname "$0")/.."
build/sdk.sh

version=$(sed -n 's/.*<Version>\(.*\)<\/Version>.*/\1/p' Directory.Build.props)
arch=$(dpkg --print-architecture)
case $arch in
  amd64) runtime=linux-x64 ;;
  arm64) runtime=linux-arm64 ;;
  *) echo >&2 "deb: there is no .NET runtime for $arch"; exit 1 ;;
esac
# The same source makes the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
date=$(date -u -d "@$SOURCE_DATE_EPOCH" +%F)

umask 022
root=artifacts/deb/root
rm -rf "$root" && mkdir -p "$root"
file() { install -D -m "$1" "$2" "$root/$3"; }         # file MODE FROM TO
packed() { install -d "$root/$(dirname "$2")" && gzip -9 -n -c "$1" >"$root/$2.gz" && chmod 644 "$root/$2.gz"; } # packed FROM TO

# Apart from the other builds: those have no runtime of their own, and no lock files for one.
dotnet publish src/Dispatch.Cli -c Release -r "$runtime" --self-contained -v quiet -p:Packaging=true -p:RestoreLockedMode=false \
  -p:ArtifactsPath="$PWD/artifacts/deb/build" -o "$root/usr/lib/dispatch"
# Documentation for compilers, and a tracing provider that needs a library of its own.
rm -f "$root"/usr/lib/dispatch/{*.xml,libcoreclrtraceptprovider.so}
find "$root/usr/lib/dispatch" -type f -exec chmod 644 {} +
chmod 755 "$root"/usr/lib/dispatch/{dispatch,createdump}
install -d "$root/usr/bin" && ln -s ../lib/dispatch/dispatch "$root/usr/bin/dispatch"

file 644 deploy/systemd/dispatch.service lib/systemd/system/dispatch.service
file 644 deploy/debian/sysusers.conf usr/lib/sysusers.d/dispatch.conf
file 640 deploy/debian/dispatch.yaml etc/dispatch/dispatch.yaml
file 600 deploy/debian/environment etc/dispatch/environment
file 644 deploy/debian/copyright usr/share/doc/dispatch/copyright
file 644 deploy/debian/lintian-overrides usr/share/lintian/overrides/dispatch
file 644 deploy/prometheus/alerts.yaml usr/share/dispatch/prometheus/alerts.yaml
file 644 deploy/grafana/dispatch.json usr/share/dispatch/grafana/dispatch.json
printf 'dispatch (%s) unstable; urgency=medium\n\n  * What is new is told in CHANGELOG.md, beside this file.\n\n -- The Dispatch authors <dispatch@example.org>  %s\n' \
  "$version" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" >artifacts/deb/changelog
packed artifacts/deb/changelog usr/share/doc/dispatch/changelog
packed CHANGELOG.md usr/share/doc/dispatch/CHANGELOG.md
packed docs/operations.md usr/share/doc/dispatch/operations.md
packed docs/configuration.md usr/share/doc/dispatch/configuration.md
build/manual.sh "$root/usr/lib/dispatch/dispatch" "$version" "$date" >artifacts/deb/dispatch.1
packed artifacts/deb/dispatch.1 usr/share/man/man1/dispatch.1

install -d "$root/DEBIAN"
size=$(du -sk --apparent-size --exclude=DEBIAN "$root" | cut -f 1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$size/" deploy/debian/control.in >"$root/DEBIAN/control"
printf '%s\n' /etc/dispatch/dispatch.yaml /etc/dispatch/environment >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
  install -m 755 "deploy/debian/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
chmod 644 "$root"/DEBIAN/{control,conffiles,md5sums}

package=artifacts/dispatch_${version}_$arch.deb
rm -f artifacts/dispatch_*_"$arch".deb
dpkg-deb --root-owner-group -Zxz -z3 --build "$root" "$package" >/dev/null
echo "$package ($(du -h "$package" | cut -f 1))"
