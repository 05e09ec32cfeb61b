#!/bin/busybox sh
# The machine's first program: the host's / under an overlay in memory, then guest.sh of the shared folder.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
sh /load.sh
options=trans=virtio,version=9p2000.L,msize=262144
mount -t 9p -o $options,ro,cache=loose host /mnt/lower || poweroff -f
mount -t tmpfs upper /mnt/upper
mkdir /mnt/upper/files /mnt/upper/work
mount -t overlay -o lowerdir=/mnt/lower,upperdir=/mnt/upper/files,workdir=/mnt/upper/work root /mnt/root || poweroff -f
mount -t tmpfs run /mnt/root/run
mkdir /mnt/root/run/share
mount -t 9p -o $options,rw,cache=none share /mnt/root/run/share || poweroff -f
for place in proc sys dev; do mount --move /$place /mnt/root/$place; done
exec switch_root /mnt/root /bin/bash /run/share/guest.sh
