package bootpolicy

import (
	"fmt"
	"slices"

	"quicklime/verifier/eventlog"
)

// secureBootIs judges PCR 7: what Secure Boot is configured to, and what it
// accepted images by. Each is in a variable that the digest covers.
func (j *judgement) secureBootIs(events []eventlog.Event) {
	seen := map[string]bool{}
	for _, e := range events {
		v, ok := e.Data().(eventlog.Variable)
		switch {
		case !ok:
			j.unknownEvent(e)
		case e.Type() == eventlog.EFIVariableDriverConfig:
			if seen[v.Name] {
				j.fail(e, "", nil, "firmware measures it once: find out what measured it again", "a second %s", quote(v.Name))
			}
			seen[v.Name] = true
			j.configured(e, v)
		case e.Type() == eventlog.EFIVariableAuthority:
			j.authority(e, v)
		default:
			j.unknownEvent(e)
		}
	}
	for _, want := range []struct {
		name  string
		asked bool
	}{
		{"SecureBoot", j.secureBoot}, {"PK", j.asks(j.pk)}, {"KEK", j.asks(j.kek)}, {"db", j.asks(j.db)}, {"dbx", j.asks(j.dbx) || len(j.revocations)+len(j.revocationLists) > 0},
	} {
		if want.asked && !seen[want.name] {
			j.lacks(7, []string{want.name}, "the firmware did not measure it: it has no Secure Boot, or the log is of another machine", "%s was not measured", want.name)
		}
	}
}

// asks reports whether a variable must have been measured: with Secure Boot if it
// is named, without if something must or may be in it.
func (j *judgement) asks(k keys) bool { return k.named && (j.secureBoot || len(k.all) > 0) }

func (j *judgement) configured(e eventlog.Event, v eventlog.Variable) {
	switch {
	case v.Vendor == eventlog.GlobalVariable && v.Name == "SecureBoot":
		on, ok := v.SecureBoot()
		switch {
		case !ok:
			j.fail(e, "", nil, "the firmware has a fault, or something else measured it", "SecureBoot is neither on nor off")
		case on && !j.secureBoot:
			j.fail(e, "", []string{"SecureBoot: off"}, "if it is wanted, write \"has_secureboot\": true and the keys", "Secure Boot is on, and the reference state is of a machine without it")
		case !on && j.secureBoot:
			j.fail(e, "", []string{"SecureBoot: on"}, "switch Secure Boot on in the firmware's setup; if it was not you who switched it off, find out who was at the machine", "Secure Boot is off")
		}
	case v.Vendor == eventlog.GlobalVariable && v.Name == "PK":
		j.subset(e, v, j.pk, "pk")
	case v.Vendor == eventlog.GlobalVariable && v.Name == "KEK":
		j.subset(e, v, j.kek, "kek")
	case v.Vendor == eventlog.ImageSecurityDatabase && v.Name == "db":
		j.subset(e, v, j.db, "db")
	case v.Vendor == eventlog.ImageSecurityDatabase && v.Name == "dbx":
		j.superset(e, v)
	case v.Vendor == eventlog.ShimLock && v.Name == "vendor_db":
		j.subset(e, v, j.vendor, "vendor_db")
	default:
		j.unknownEvent(e)
	}
}

// subset: each key that was there is one of those listed.
func (j *judgement) subset(e eventlog.Event, v eventlog.Variable, k keys, member string) {
	if !k.named {
		return
	}
	all, err := v.Signatures()
	if err != nil {
		j.fail(e, "", nil, "the firmware has a fault, or something else measured it", "%s: %v", v.Name, err)
		return
	}
	for _, s := range all {
		if !k.all[key{s.Owner, string(s.Data)}] {
			j.fail(e, signature(s), k.shown(), fmt.Sprintf("if the key is wanted, add it to %s; if not, remove it in the firmware's setup", member), "%s has a key that %s does not list", v.Name, member)
		}
	}
}

// superset: each entry of dbx and each revocation was there.
func (j *judgement) superset(e eventlog.Event, v eventlog.Variable) {
	all, err := v.Signatures()
	if err != nil {
		j.fail(e, "", nil, "the firmware has a fault, or something else measured it", "dbx: %v", err)
		return
	}
	there := map[key]bool{}
	revoked := map[revocation]bool{}
	for _, s := range all {
		there[key{s.Owner, string(s.Data)}] = true
		revoked[revocation{s.Type, string(s.Data)}] = true
	}
	j.revokes(e, revoked)
	var lost []string
	for k := range j.dbx.all {
		if !there[k] {
			lost = append(lost, k.String())
		}
	}
	for _, d := range j.revocations {
		if !revoked[revocation{eventlog.CertSHA256, string(d)}] {
			lost = append(lost, fmt.Sprintf("sha256:%x", d))
		}
	}
	if len(lost) > 0 {
		slices.Sort(lost)
		j.fail(e, "", lost, "update dbx on the machine (fwupdmgr update) and boot it again, or find out who took entries out", "dbx lacks %d of the %d entries that must be revoked", len(lost), len(j.dbx.all)+len(j.revocations))
	}
}

// authority judges what an image was accepted by.
func (j *judgement) authority(e eventlog.Event, v eventlog.Variable) {
	s, ok := v.Authority()
	switch {
	case v.Vendor == eventlog.ImageSecurityDatabase && v.Name == "db":
		if !ok || !j.db.has(s) {
			j.fail(e, signature(s), j.db.shown(), "if the key is wanted, add it to db", "an image was accepted by a key that db does not list")
		}
	case v.Vendor == eventlog.ShimLock && v.Name == "vendor_db":
		if j.vendor.named && (!ok || !j.vendor.has(s)) {
			j.fail(e, signature(s), j.vendor.shown(), "if the key is wanted, add it to vendor_db", "an image was accepted by a key that vendor_db does not list")
		}
	case isLevel(e):
		j.sbat.revokes(j, e, v)
	case v.Vendor == eventlog.ShimLock && slices.Contains(byShim, v.Name):
		// Of a shim whose digest is in PCR 4, and of MokList, whose digest is in
		// PCR 14.
	default:
		j.unknownEvent(e)
	}
}

// byShim are the variables that shim measures into PCR 7 (shim: mok.c and shim.c).
var byShim = []string{"SbatLevel", "Shim", "MokListTrusted", "MokListRT"}

var mokOrder = []string{"MokList", "MokListX", "MokListTrusted"}

// mokIs judges PCR 14: shim measures MokList, MokListX and MokListTrusted, each once
// and in this order (shim: mok.c, mok_state_variables). Their names are claims, so
// that the order is part of the rule.
func (j *judgement) mokIs(events []eventlog.Event) {
	at := 0
	for _, e := range events {
		label, _ := e.Claim().Label()
		i := slices.Index(mokOrder, label)
		if e.Type() != eventlog.IPL || i < at {
			j.unknownEvent(e)
			continue
		}
		at = i + 1
		switch label {
		case "MokList":
			j.mokDigest(e, j.mok, "mokdig")
		case "MokListX":
			j.mokDigest(e, j.mokX, "mokxdig")
		case "MokListTrusted":
			if string(e.Digest()) != string(e.Bank().Sum([]byte{0})) && string(e.Digest()) != string(e.Bank().Sum([]byte{1})) {
				j.fail(e, digestText(e), nil, "it is 0 or 1: something else was measured", "MokListTrusted has another value than 0 or 1")
			}
		}
	}
}

// mokIsThere: with shim the lists that the reference state has digests of were measured.
func (j *judgement) mokIsThere(k kernel, events []eventlog.Event) {
	if k.shim == nil {
		return
	}
	for _, want := range []struct {
		name, member string
		of           []digests
	}{{"MokList", "mokdig", j.mok}, {"MokListX", "mokxdig", j.mokX}} {
		there := slices.ContainsFunc(events, func(e eventlog.Event) bool { label, _ := e.Claim().Label(); return label == want.name })
		if len(want.of) > 0 && !there {
			j.lacks(14, nil, "shim measures it: the machine was booted without shim", "%s was not measured, and %s lists %d", want.name, want.member, len(want.of))
		}
	}
}

func (j *judgement) mokDigest(e eventlog.Event, listed []digests, member string) {
	if !anyOf(e, listed) {
		j.fail(e, digestText(e), texts(e, listed...), fmt.Sprintf("if the machine owner's keys were changed on purpose, add the digest to %s; \"mokutil --list-enrolled\" shows them", member), "a list of the machine owner's keys that %s does not list: %s", member, says(e))
	}
}
