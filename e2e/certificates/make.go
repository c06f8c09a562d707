package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// The days that the certificates are good for: long enough for everybody who reads this.
var (
	begin = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	end   = time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC)
)

type entity struct {
	template *x509.Certificate
	der      []byte
	key      crypto.Signer
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func p256() crypto.Signer { return curve(elliptic.P256()) }

func curve(curve elliptic.Curve) crypto.Signer {
	return must(ecdsa.GenerateKey(curve, rand.Reader))
}

func rsaKey(bits int) crypto.Signer { return must(rsa.GenerateKey(rand.Reader, bits)) }

func ed() crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return must(key, err)
}

var serial int64

// Without an issuer it is signed by itself.
func sign(template x509.Certificate, key crypto.Signer, issuer *entity) *entity {
	serial++
	template.SerialNumber = big.NewInt(serial)
	if template.NotBefore.IsZero() {
		template.NotBefore, template.NotAfter = begin, end
	}
	made := &entity{template: &template, key: key}
	if issuer == nil {
		issuer = made
	}
	made.der = must(x509.CreateCertificate(rand.Reader, &template, issuer.template, key.Public(), issuer.key))
	// What an issuer is called is what is in its certificate.
	made.template = must(x509.ParseCertificate(made.der))
	return made
}

func authority(name string) x509.Certificate {
	return x509.Certificate{
		Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func server() x509.Certificate {
	return x509.Certificate{
		Subject: pkix.Name{CommonName: "kube-apiserver"}, DNSNames: []string{"kubernetes", "localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1).To4()}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

func with(template x509.Certificate, change func(*x509.Certificate)) x509.Certificate {
	change(&template)
	return template
}

// A chain with an authority of its own.
func plain(rootKey, key crypto.Signer, root, leaf x509.Certificate) ([]*entity, *entity) {
	ca := sign(root, rootKey, nil)
	return []*entity{sign(leaf, key, ca)}, ca
}

func makeAll(folder string) error {
	write := func(name string, chain []*entity, roots ...[]byte) {
		place := filepath.Join(folder, name)
		if err := os.MkdirAll(place, 0o755); err != nil {
			panic(err)
		}
		var certificates, ca []byte
		for _, link := range chain {
			certificates = append(certificates, block("CERTIFICATE", link.der)...)
		}
		for _, root := range roots {
			ca = append(ca, root...)
		}
		key := block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(chain[0].key)))
		switch own := chain[0].key.(type) {
		case *rsa.PrivateKey:
			key = block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(own))
		case *ecdsa.PrivateKey:
			if own.Curve != elliptic.P256() {
				// As openssl writes it, with the name of the curve in front.
				key = append(block("EC PARAMETERS", []byte{5, 0}), block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(own)))...)
			}
		}
		for file, content := range map[string][]byte{"chain.pem": certificates, "ca.pem": ca, "key.pem": key} {
			if err := os.WriteFile(filepath.Join(place, file), content, 0o644); err != nil {
				panic(err)
			}
		}
	}
	trusted := func(root *entity) []byte { return block("CERTIFICATE", root.der) }
	simple := func(name string, rootKey, key crypto.Signer, root, leaf x509.Certificate) {
		chain, ca := plain(rootKey, key, root, leaf)
		write(name, chain, trusted(ca))
	}
	root, leaf := authority("kubernetes"), server()

	// Keys.
	simple("keys-p256", p256(), p256(), root, leaf)
	simple("keys-p384", curve(elliptic.P384()), curve(elliptic.P384()), root, leaf)
	simple("keys-p521", curve(elliptic.P521()), curve(elliptic.P521()), root, leaf)
	simple("keys-ed25519", ed(), ed(), root, leaf)
	simple("keys-rsa-1024", rsaKey(2048), rsaKey(1024), root, leaf)
	simple("keys-rsa-1024-root", rsaKey(1024), rsaKey(2048), root, leaf)
	simple("keys-rsa-2048", rsaKey(2048), rsaKey(2048), root, leaf)
	simple("keys-rsa-3072-p256", rsaKey(3072), p256(), root, leaf)
	simple("keys-rsa-4096", rsaKey(4096), rsaKey(4096), root, leaf)
	pss := with(leaf, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA256WithRSAPSS })
	simple("keys-rsa-pss", rsaKey(2048), p256(), root, pss)
	p384WithSHA256 := with(leaf, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA256 })
	simple("keys-p384-sha256", curve(elliptic.P384()), p256(), root, p384WithSHA256)
	simple("keys-p521-sha256", curve(elliptic.P521()), p256(), root, p384WithSHA256)

	// Who is trusted.
	own := sign(leaf, p256(), nil)
	write("self-signed", []*entity{own}, trusted(own))
	ownFirst := version1(own)
	write("self-signed-of-version-1", []*entity{ownFirst}, trusted(ownFirst))
	both := sign(with(leaf, func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = true, true }), p256(), nil)
	write("self-signed-authority", []*entity{both}, trusted(both))
	ca := sign(root, p256(), nil)
	signed := sign(leaf, p256(), ca)
	write("leaf-is-trusted", []*entity{signed}, trusted(signed))
	write("leaf-is-authority", []*entity{sign(with(leaf, func(c *x509.Certificate) {
		c.BasicConstraintsValid, c.IsCA = true, true
	}), p256(), ca)}, trusted(ca))
	write("other-authority", []*entity{signed}, trusted(sign(root, p256(), nil)))
	noAuthority := sign(with(root, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, 0 }), p256(), nil)
	write("root-is-no-authority", []*entity{sign(leaf, p256(), noAuthority)}, trusted(noAuthority))
	silent := sign(with(root, func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = false, false }), p256(), nil)
	write("root-does-not-say", []*entity{sign(leaf, p256(), silent)}, trusted(silent))
	mute := sign(with(root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }), p256(), nil)
	write("root-may-not-sign", []*entity{sign(leaf, p256(), mute)}, trusted(mute))
	over := sign(with(root, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = begin, begin.AddDate(1, 0, 0) }), p256(), nil)
	write("root-is-over", []*entity{sign(leaf, p256(), over)}, trusted(over))
	old := sign(root, p256(), nil)
	first := version1(old)
	write("root-of-version-1", []*entity{sign(leaf, p256(), old)}, trusted(first))
	forClients := with(root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	simple("root-for-clients", p256(), p256(), forClients, leaf)

	// Bundles.
	nonsense := block("CERTIFICATE", []byte("nonsense"))
	write("bundle-with-nonsense", []*entity{signed}, nonsense, []byte("a comment\n"), trusted(ca))
	broken := []byte("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n")
	write("bundle-with-broken", []*entity{signed}, broken, trusted(ca))
	write("bundle-with-key", []*entity{signed}, block("EC PRIVATE KEY", []byte{1}), trusted(ca))
	write("bundle-of-two", []*entity{signed}, trusted(sign(root, p256(), nil)), trusted(ca))
	write("bundle-of-nonsense", []*entity{signed}, nonsense)

	// Intermediates.
	middle := authority("intermediate")
	intermediate := sign(middle, p256(), ca)
	below := sign(leaf, p256(), intermediate)
	write("intermediate", []*entity{below, intermediate}, trusted(ca))
	write("intermediate-missing", []*entity{below}, trusted(ca))
	write("intermediate-is-trusted", []*entity{below}, trusted(intermediate))
	write("intermediate-with-root", []*entity{below, intermediate, ca}, trusted(ca))
	short := sign(with(root, func(c *x509.Certificate) { c.MaxPathLenZero = true }), p256(), nil)
	tooMany := sign(middle, p256(), short)
	write("path-too-long", []*entity{sign(leaf, p256(), tooMany), tooMany}, trusted(short))
	write("path-long-enough", []*entity{sign(leaf, p256(), short)}, trusted(short))
	noMiddle := sign(with(middle, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, 0 }), p256(), ca)
	write("intermediate-is-no-authority", []*entity{sign(leaf, p256(), noMiddle), noMiddle}, trusted(ca))

	// Names.
	name := func(change func(*x509.Certificate)) x509.Certificate { return with(leaf, change) }
	write("name-common-only", []*entity{sign(name(func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses, c.Subject.CommonName = nil, nil, "127.0.0.1"
	}), p256(), ca)}, trusted(ca))
	write("name-as-text", []*entity{sign(name(func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = []string{"127.0.0.1"}, nil
	}), p256(), ca)}, trusted(ca))
	write("name-of-another", []*entity{sign(name(func(c *x509.Certificate) {
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 2).To4()}
	}), p256(), ca)}, trusted(ca))
	network := func(a, b, c, d byte, bits int) *net.IPNet {
		return &net.IPNet{IP: net.IPv4(a, b, c, d).To4(), Mask: net.CIDRMask(bits, 32)}
	}
	constrained := func(change func(*x509.Certificate)) x509.Certificate {
		return with(root, func(c *x509.Certificate) { c.PermittedDNSDomainsCritical = true; change(c) })
	}
	simple("names-permitted", p256(), p256(), constrained(func(c *x509.Certificate) {
		c.PermittedIPRanges = []*net.IPNet{network(127, 0, 0, 0, 8)}
	}), leaf)
	simple("names-not-permitted", p256(), p256(), constrained(func(c *x509.Certificate) {
		c.PermittedIPRanges = []*net.IPNet{network(10, 0, 0, 0, 8)}
	}), leaf)
	simple("names-excluded", p256(), p256(), constrained(func(c *x509.Certificate) {
		c.ExcludedIPRanges = []*net.IPNet{network(127, 0, 0, 1, 32)}
	}), leaf)
	simple("names-dns-permitted", p256(), p256(), constrained(func(c *x509.Certificate) {
		c.PermittedDNSDomains = []string{"kubernetes", "localhost"}
	}), leaf)
	simple("names-dns-not-permitted", p256(), p256(), constrained(func(c *x509.Certificate) {
		c.PermittedDNSDomains = []string{"kubernetes", ".localhost"}
	}), leaf)
	simple("names-dns-excluded", p256(), p256(), constrained(func(c *x509.Certificate) {
		c.ExcludedDNSDomains = []string{"localhost"}
	}), leaf)

	// Days, usages, extensions, signatures.
	write("leaf-is-over", []*entity{sign(name(func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = begin, begin.AddDate(1, 0, 0)
	}), p256(), ca)}, trusted(ca))
	write("leaf-is-not-yet", []*entity{sign(name(func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = end.AddDate(-1, 0, 0), end
	}), p256(), ca)}, trusted(ca))
	ownOver := sign(name(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = begin, begin.AddDate(1, 0, 0) }), p256(), nil)
	write("self-signed-is-over", []*entity{ownOver}, trusted(ownOver))
	write("leaf-for-clients", []*entity{sign(name(func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}), p256(), ca)}, trusted(ca))
	write("leaf-for-both", []*entity{sign(name(func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	}), p256(), ca)}, trusted(ca))
	write("leaf-for-anything", []*entity{sign(name(func(c *x509.Certificate) { c.ExtKeyUsage = nil }), p256(), ca)}, trusted(ca))
	unknown := func(critical bool) []pkix.Extension {
		return []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: critical, Value: []byte{5, 0}}}
	}
	write("extension-unknown", []*entity{sign(name(func(c *x509.Certificate) {
		c.ExtraExtensions = unknown(false)
	}), p256(), ca)}, trusted(ca))
	write("extension-unknown-critical", []*entity{sign(name(func(c *x509.Certificate) {
		c.ExtraExtensions = unknown(true)
	}), p256(), ca)}, trusted(ca))
	rsaRoot := sign(root, rsaKey(2048), nil)
	write("signature-sha1", []*entity{sha1(sign(leaf, p256(), rsaRoot), rsaRoot)}, trusted(rsaRoot))
	forged := *signed
	forged.der = append([]byte{}, signed.der...)
	forged.der[len(forged.der)-1] ^= 1
	write("signature-forged", []*entity{&forged}, trusted(ca))
	return nil
}

func block(kind string, bytes []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes})
}

type certificate struct {
	Signed    asn1.RawValue
	Algorithm pkix.AlgorithmIdentifier
	Signature asn1.BitString
}

type signed struct {
	Version    int `asn1:"optional,explicit,default:0,tag:0"`
	Serial     *big.Int
	Algorithm  pkix.AlgorithmIdentifier
	Issuer     asn1.RawValue
	Validity   asn1.RawValue
	Subject    asn1.RawValue
	Key        asn1.RawValue
	Extensions asn1.RawValue `asn1:"optional,explicit,tag:3"`
}

func parse(der []byte) (certificate, signed) {
	var outer certificate
	must(asn1.Unmarshal(der, &outer))
	var inner signed
	must(asn1.Unmarshal(outer.Signed.FullBytes, &inner))
	return outer, inner
}

// As openssl made them by default for decades.
func version1(root *entity) *entity {
	outer, inner := parse(root.der)
	inner.Version, inner.Extensions = 0, asn1.RawValue{}
	outer.Signed = asn1.RawValue{FullBytes: must(asn1.Marshal(inner))}
	digest := sha256.Sum256(outer.Signed.FullBytes)
	outer.Signature.Bytes = must(root.key.Sign(rand.Reader, digest[:], crypto.SHA256))
	outer.Signature.BitLength = 8 * len(outer.Signature.Bytes)
	return &entity{key: root.key, der: must(asn1.Marshal(outer))}
}

// Go does not sign so any more.
func sha1(leaf, issuer *entity) *entity {
	outer, inner := parse(leaf.der)
	algorithm := pkix.AlgorithmIdentifier{
		Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, Parameters: asn1.NullRawValue,
	}
	inner.Algorithm, outer.Algorithm = algorithm, algorithm
	outer.Signed = asn1.RawValue{FullBytes: must(asn1.Marshal(inner))}
	hash := crypto.SHA1.New()
	hash.Write(outer.Signed.FullBytes)
	outer.Signature.Bytes = must(issuer.key.Sign(rand.Reader, hash.Sum(nil), crypto.SHA1))
	outer.Signature.BitLength = 8 * len(outer.Signature.Bytes)
	return &entity{key: leaf.key, der: must(asn1.Marshal(outer))}
}
