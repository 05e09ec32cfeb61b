# Process 1 of the machine, once the host's files are there: D-Bus, the tests, the end.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run/home LANG=C.UTF-8 PYTHONUNBUFFERED=1
. /run/share/env
export PYTHONPATH=$ROOT BLE_OTA_BLUEZ=inside BLUETOOTHD BLUETOOTHD_LOG=/run/share/bluetoothd.txt
mkdir -p /run/dbus /run/lock $HOME /dev/shm
rm -rf /var/lib/bluetooth && mkdir -p /var/lib/bluetooth # the machine's own, not what the host knows
mount -t tmpfs shm /dev/shm
ip link set lo up
dbus-daemon --system --fork
cd "$ROOT" || exit
rm -f /.dockerenv /run/.containerenv # the host may be a container; this machine is none, and `doctor` looks
case "${ARGUMENTS[*]}" in *tests/*) ;; *) ARGUMENTS+=(tests/bluez/inside) ;; esac
# One loop for all: the adapters and what is around them live from the first test to the last.
timeout --signal=INT --kill-after=20 "$LIMIT_S" "$PYTHON" -m pytest -v --durations=0 --durations-min=0.5 \
  -p no:cacheprovider -p no:hypothesispytest -p no:xdist -p no:anyio \
  --basetemp=/run/pytest --junitxml=/run/share/report.xml -o timeout=120 \
  -o asyncio_default_fixture_loop_scope=session -o asyncio_default_test_loop_scope=session \
  "${ARGUMENTS[@]}" >/run/share/out.txt 2>&1
echo $? >/run/share/code
sync
echo o >/proc/sysrq-trigger
mkfifo /run/never && read -r -t 60 _ <>/run/never # this shell must not end before the power does
