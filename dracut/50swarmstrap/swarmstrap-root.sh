#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Sourced by dracut, cmdline hook. Without root= this boot is the agent's; with it, it is not.
# shellcheck disable=SC2034

if [ -z "$root" ]; then
    root=swarmstrap
    rootok=1
fi
