package bootpolicy

import (
	"fmt"
	"slices"

	"quicklime/verifier/eventlog"
)

// variable takes an event of PCR 7.
func (d *describer) variable(e eventlog.Event) (known bool, err error) {
	v, ok := e.Data().(eventlog.Variable)
	if !ok {
		return false, nil
	}
	if e.Type() == eventlog.EFIVariableAuthority {
		return d.authority(e, v), nil
	}
	if on, ok := v.SecureBoot(); ok {
		d.SecureBoot = on
		return true, nil
	}
	lists := map[string]*[]keyJSON{"PK": &d.PK, "KEK": &d.KEK, "db": &d.DB, "dbx": &d.DBX}
	list := lists[v.Name]
	if e.Type() != eventlog.EFIVariableDriverConfig || list == nil || v.Vendor != eventlog.GlobalVariable && v.Vendor != eventlog.ImageSecurityDatabase {
		return false, nil
	}
	all, err := v.Signatures()
	if err != nil {
		return false, fmt.Errorf("%s: %w", v.Name, err)
	}
	for _, s := range all {
		*list = append(*list, keyOf(s))
	}
	return true, nil
}

// authority takes what an image was accepted by.
func (d *describer) authority(e eventlog.Event, v eventlog.Variable) (known bool) {
	switch {
	case v.Vendor == eventlog.ShimLock && v.Name == "vendor_db":
		if s, one := v.Authority(); one {
			d.VendorDB = union(d.VendorDB, []keyJSON{keyOf(s)})
		}
		return true
	case isLevel(e):
		d.level(v)
		return true
	case v.Vendor == eventlog.ShimLock:
		return slices.Contains(byShim, v.Name)
	}
	return v.Vendor == eventlog.ImageSecurityDatabase && v.Name == "db" // the key is in the variable db
}

// level takes what shim revokes.
func (d *describer) level(v eventlog.Variable) {
	all, err := v.SBAT()
	if err != nil {
		return // nothing can be asked for
	}
	d.SBAT = generations{}
	for _, c := range all {
		if c.Generation > 0 {
			d.SBAT[c.Name] = c.Generation
		}
	}
}

func keyOf(s eventlog.Signature) keyJSON { return keyJSON{s.Owner.String(), hexText(s.Data)} }

// mokList takes an event of PCR 14, as mokIs judges it.
func (d *describer) mokList(e eventlog.Event) (known bool) {
	label, _ := e.Claim().Label()
	i := slices.Index(mokOrder, label)
	if i < d.mokNext || e.Type() != eventlog.IPL {
		return false
	}
	d.mokNext = i + 1
	switch label {
	case "MokList":
		d.Mok = append(d.Mok, of(e))
	case "MokListX":
		d.MokX = append(d.MokX, of(e))
	}
	return true
}
