#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Run by dhclient (-sf) with the lease in its environment, see dhclient-script(8).

case "$reason" in
PREINIT)
    ip link set dev "$interface" up
    ;;
BOUND | REBOOT | RENEW | REBIND)
    ip -4 address replace "$new_ip_address/$new_subnet_mask" dev "$interface"
    for router in $new_routers; do
        ip -4 route replace default via "$router" dev "$interface"
        break
    done
    : >/etc/resolv.conf
    for server in $new_domain_name_servers; do
        echo "nameserver $server" >>/etc/resolv.conf
    done
    ;;
EXPIRE | FAIL | RELEASE | STOP)
    ip -4 address flush dev "$interface"
    ;;
esac
