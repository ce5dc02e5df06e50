package dm

func (j *judgement) resume(e Resume) {
	d, r := j.judged(subject(e.None, e.Active), ResumeBeforeLoad)
	switch {
	case r == nil:
	case d.Active:
		j.found(AlreadyActive, "the device %s is active already", quote(d.Key))
		j.invalid(d)
	case e.Active == nil:
		j.found(TableMismatch, "the device %s has no table", quote(d.Key))
		j.invalid(d)
	case e.Active.Hash != d.Table:
		j.mismatch(TableMismatch, "the table of the device "+quote(d.Key), e.Active.Hash.String(), reference{text: d.Table.String()})
		j.invalid(d)
	default:
		d.Active, d.Valid = true, true
		j.state = j.state.with(d)
	}
}

// subject returns what tables, nil for none, or their absence say of the device.
func subject(none *NoTable, tables ...*Table) Identity {
	for _, t := range tables {
		if t != nil {
			return t.Device.Identity
		}
	}
	return none.Identity
}

func (j *judgement) remove(e Remove) {
	d, r := j.judged(subject(e.None, e.Active, e.Inactive), RemoveBeforeLoad)
	switch {
	case r == nil:
	case !r.allowRemoval:
		j.found(Removed, "the device %s was removed", quote(d.Key))
		j.invalid(d)
	default:
		j.state = j.state.without(d.Key)
	}
}

func (j *judgement) clear(e Clear) {
	d, r := j.judged(subject(e.None, e.Inactive), ClearBeforeLoad)
	if r != nil && !r.allowClear {
		j.found(Cleared, "the inactive table of the device %s was cleared", quote(d.Key))
		j.invalid(d)
	}
}

func (j *judgement) rename(e Rename) {
	if e.Device == nil {
		j.found(RenameBeforeLoad, "a device without a table was renamed to %s", quote(e.New.Name))
		return
	}
	d, r := j.judged(e.Device.Identity, RenameBeforeLoad)
	if r == nil {
		return
	}
	old := d.Key
	if e.New.Name != e.Device.Name && !r.newName.allows(e.New.Name) {
		j.mismatch(BadName, "the new name of the device "+quote(old), e.New.Name, r.newName)
		d.Valid = false
	} else if !j.policy.byUUID {
		d.Key = e.New.Name
	}
	if e.New.UUID != e.Device.UUID && !r.newUUID.allows(e.New.UUID) {
		j.mismatch(BadUUID, "the new uuid of the device "+quote(old), e.New.UUID, r.newUUID)
		d.Valid = false
	} else if j.policy.byUUID {
		d.Key = e.New.UUID
	}
	j.move(old, d)
}

// move puts d in the place of the device with the key old.
func (j *judgement) move(old string, d device) {
	if d.Key != old && j.state.find(d.Key) >= 0 {
		j.found(NameInUse, "the device %s was renamed to %s, which another device has", quote(old), quote(d.Key))
		d.Valid = false
	}
	if d.Key != old {
		j.state = j.state.without(old)
	}
	j.state = j.state.with(d)
}
