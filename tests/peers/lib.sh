# shellcheck shell=bash
# What the peer tests share: where things are, the tally, a context and specs.
# The caller sets `set -euo pipefail` and $bases, the directory that bases.sh
# filled, and sources this file.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
: "${bases:?}"
customize=${CUSTOMIZE:-$root/target/release/customize}
passed=0
failed=0
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C.UTF-8
unset SOURCE_DATE_EPOCH
umask 022

# The name is in lower case: podman takes no other path after `oci:`.
work=${TMPDIR:-/tmp}/customize-peers.$$
mkdir -m 0711 "$work"
work=$(cd "$work" && pwd -P)
mkdir "$work/tmp" "$work/cache" "$work/home"
export TMPDIR=$work/tmp HOME=$work/home XDG_CACHE_HOME=$work/cache

clean_up() {
  if [[ -d $work/storage ]]; then
    "${podman[@]}" rm --all --force >/dev/null 2>&1 || true
    umount "$work/storage/overlay" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

require_customize() {
  [[ -x $customize ]] && return
  echo "no $customize: run cargo build --release, or set CUSTOMIZE" >&2
  exit 2
}

# check NAME COMMAND...: one line of verdict; the whole output of what failed
check() {
  local name=$1 code
  shift
  set +e
  (
    set -e
    "$@"
  ) >"$work/log" 2>&1 </dev/null
  code=$?
  set -e
  if ((code == 0)); then
    passed=$((passed + 1))
    echo "ok $name"
  else
    failed=$((failed + 1))
    echo "not ok $name: $(tail -n 1 "$work/log" | cut -c1-1000) (exit code $code)"
    sed 's/^/# /' "$work/log" | head -n 40 >&2
  fi
}

# The last line, and the verdict of the script
summary() {
  echo "$passed passed, $failed failed"
  ((failed == 0))
}

# podman with its own storage, so that nothing stays on the machine; inside of a
# container there is no overlay on the overlay
driver=overlay
[[ $(stat -f -c %T "$work") != overlayfs ]] || driver=vfs
podman=(podman --root "$work/storage" --runroot "$work/run" --tmpdir "$work/podman"
  --storage-driver "$driver" --runtime runc --cgroup-manager cgroupfs --events-backend none)

oci() { python3 "$here/oci.py" "$@"; }

# The digest of the only image of a layout
digest_of() { jq -er '.manifests[0].digest' "$1/index.json"; }

# make_context DIR [reverse]: the files that the specs add; `reverse` makes the
# same files in another order and with other times
make_context() {
  local dir=$1 files
  mkdir -p "$dir/etc-app/conf.d" "$dir/data"
  [[ -f $work/ca.crt ]] || openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -batch \
    -subj '/O=Example/CN=Example Corporate CA' -keyout /dev/null -out "$work/ca.crt" 2>/dev/null
  files=(ca bundle tool x conf more link main nginx backup data)
  [[ ${2:-} != reverse ]] || mapfile -t files < <(printf '%s\n' "${files[@]}" | tac)
  local file
  for file in "${files[@]}"; do context_file "$dir" "$file"; done
  [[ ${2:-} != reverse ]] || find "$dir" -exec touch -h -d '2001-02-03 04:05:06 UTC' {} +
}

context_file() {
  local dir=$1
  case $2 in
    ca) cp "$work/ca.crt" "$dir/corporate-ca.crt" ;;
    bundle) cat "$bases/ca-certificates.crt" "$work/ca.crt" >"$dir/bundle.crt" ;;
    tool) install -m 0755 "$bases/probe" "$dir/tool" ;;
    x) echo 'x = 1' >"$dir/x.conf" ;;
    conf) echo 'level = info' >"$dir/etc-app/app.conf" ;;
    more) echo 'more = true' >"$dir/etc-app/conf.d/more.conf" ;;
    link) ln -sfn app.conf "$dir/etc-app/current.conf" ;;
    backup) echo 'left out' >"$dir/etc-app/app.conf.bak" ;;
    nginx) nginx_conf >"$dir/etc-app/nginx.conf" ;;
    main) python_main >"$dir/etc-app/main.py" ;;
    data) # 3 MB, half of it text, the same each time
      python3 - "$dir/data" <<'PY'
import random, sys
source = random.Random(20240229)
words = [source.randbytes(source.randrange(2, 6)).hex() for _ in range(2000)]
for number in range(40):
    with open(f"{sys.argv[1]}/{number:02}.bin", "wb") as file:
        if number % 2:
            file.write(source.randbytes(40_000 + number))
        else:
            file.write(" ".join(source.choice(words) for _ in range(14_000)).encode())
PY
      ;;
  esac
}

nginx_conf() {
  cat <<'CONF'
pid /tmp/nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  server {
    listen 127.0.0.1:18080;
    root /etc/app;
  }
}
CONF
}

# Proves that the added authority is trusted, and that the file is readable.
python_main() {
  cat <<'PY'
import os, ssl
names = [dict(part[0] for part in entry["subject"]).get("commonName")
         for entry in ssl.create_default_context(cafile="/etc/ssl/certs/ca-certificates.crt").get_ca_certs()]
print(os.getuid(), os.getgid(), os.getcwd(), os.environ["APP_MODE"])
print("Example Corporate CA" in names, len(names) > 100)
PY
}

# write_spec BASE FILE: what is added to each base; BASE is a layout in $bases
write_spec() {
  local base=$1 compression=gzip arch='arch: amd64' from=static program=/usr/bin/probe start
  case $base in
    nginx-zstd) compression=zstd ;;
    nginx-squashed) compression=none ;;
    # each platform gets its own file, out of an image of two platforms
    multi) arch='platforms: [linux/amd64, linux/arm64]' from=multi program=/usr/sbin/nginx ;;
  esac
  case $base in
    python) start='entrypoint: [/usr/bin/python3, /etc/app/main.py]' ;;
    redis) start='cmd: [--version]' ;;
    static) start='cmd: [cat, /etc/app/current.conf]' ;;
    *) start='entrypoint: [/usr/sbin/nginx, -e, stderr, -c, /etc/app/nginx.conf]
  cmd: [-t]' ;;
  esac
  cat >"$2" <<SPEC
base_image: oci:$bases/$base@$(digest_of "$bases/$base")
$arch
compression: $compression
copy_files:
  - source: corporate-ca.crt
    destination: /etc/ssl/certs/corporate-ca.crt
  - source: bundle.crt
    destination: /etc/ssl/certs/ca-certificates.crt
  - source: tool
    destination: /bin/tool
  - source: x.conf
    destination: /lib/x.conf
  - content: "port = 8080\n"
    destination: /var/run/app/app.conf
  - content: "seed\n"
    destination: /tmp/seed/file
    mode: "0640"
    owner: "65532:1500"
  - content: "mine\n"
    destination: /home/nonroot/.config/app.conf
    mode: "0600"
    owner: runtime
  - source: etc-app/
    destination: /etc/app/
    exclude: ["*.bak"]
  - source: data
    destination: /srv/data/
  - from: oci:$bases/$from@$(digest_of "$bases/$from")
    source: $program
    destination: /usr/local/bin/probe
accounts:
  users:
    - {name: agent, uid: 1500, gid: 1500, home: /home/agent, description: Agent}
  groups:
    - {name: agent, gid: 1500}
config:
  user: "1500:1500"
  env:
    APP_MODE: test mode
  labels:
    test.result: $base
  workdir: /etc/app
  $start
metadata:
  description: what the peer tests add
SPEC
}

# plan_of DIR PROGRAM: the paths that the spec adds or replaces, for `oci.py
# same`; PROGRAM is the content of what comes out of another image
plan_of() {
  local context=$1 file
  printf '%s\t%s\t%s\t%s\n' \
    /etc/ssl/certs/corporate-ca.crt 0644 0:0 "@$context/corporate-ca.crt" \
    /etc/ssl/certs/ca-certificates.crt 0644 0:0 "@$context/bundle.crt" \
    /usr/bin/tool 0755 0:0 "@$context/tool" \
    /usr/lib/x.conf 0644 0:0 "@$context/x.conf" \
    /run/app/app.conf 0644 0:0 '*' \
    /tmp/seed/file 0640 65532:1500 '*' \
    /home/nonroot/.config/app.conf 0600 1500:1500 '*' \
    /usr/local/bin/probe 0755 0:0 "$2" \
    /etc/passwd 0644 0:0 '*' \
    /etc/group 0644 0:0 '*' \
    /etc/app/current.conf 0777 0:0 '->app.conf'
  for file in app.conf conf.d/more.conf main.py nginx.conf; do
    printf '%s\t0644\t0:0\t%s\n' "/etc/app/$file" "@$context/etc-app/$file"
  done
  for file in "$context"/data/*; do
    printf '%s\t0644\t0:0\t%s\n' "/srv/data/${file##*/}" "@$file"
  done
}
