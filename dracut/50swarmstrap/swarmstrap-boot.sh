#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Sourced by dracut, pre-mount hook. The agent ends in a reboot; what follows is for when it cannot.

if [ "$root" = swarmstrap ]; then
    exec </dev/console >/dev/console 2>&1
    swarmstrap-agent boot
    echo "swarmstrap: the agent ended with status $?; this node restarts in 60 s"
    if getargbool 1 rd.shell; then
        echo "swarmstrap: press Enter for a shell"
        timeout --foreground 60 sh -c 'read -r _' && setsid --ctty bash -i
    else
        sleep 60
    fi
    reboot -f
fi
