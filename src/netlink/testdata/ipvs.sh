# Virtual servers of all kinds, as `testdata/ipvs.bin` has them (examples/record.rs): Portolan's and others'.
set -e
ip link set lo up
ip link add kube-ipvs0 type dummy
ip addr add 10.96.0.10/32 dev kube-ipvs0
ip addr add 10.96.0.11/32 dev kube-ipvs0
ip addr add fd00::10/128 dev kube-ipvs0
ipvsadm --set 900 120 300

ipvsadm -A -t 10.96.0.10:80 -s rr
ipvsadm -a -t 10.96.0.10:80 -r 127.0.0.2:8080 -m
ipvsadm -a -t 10.96.0.10:80 -r 127.0.0.3:8080 -m -w 0
ipvsadm -a -t 10.96.0.10:80 -r 10.244.1.4:8080 -m -w 65536 -x 9 -y 3
ipvsadm -A -u 10.96.0.10:53 -s wlc -p 10800
ipvsadm -a -u 10.96.0.10:53 -r 10.244.1.5:5353 -m
ipvsadm -A --sctp-service 10.96.0.11:3868 -s lc -p 300 -M 255.255.255.0
ipvsadm -A -t [fd00::10]:443 -s mh -b mh-fallback,mh-port
ipvsadm -a -t [fd00::10]:443 -r [fd00:1::5]:8443 -m -w 7
ipvsadm -A -u [fd00::10]:53 -s sh -p 60 -M 64
ipvsadm -A -u 10.96.0.11:53 -o -s wrr
ipvsadm -A -f 7 -s nq
ipvsadm -a -f 7 -r 10.0.0.7:0 -g
ipvsadm -a -f 7 -r 10.0.0.8:0 -i
ipvsadm -A -f 9 -6 -s sed

# A connection, which is refused; the kernel counts it every two seconds.
timeout 1 bash -c 'echo >/dev/tcp/10.96.0.10/80' || true
sleep 3
