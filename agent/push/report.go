package push

import (
	"log/slog"

	"quicklime/wire"
)

// reporter logs what the verifier thinks of the machine when that changes, not at
// each verdict. It outlives the sessions.
type reporter struct {
	log  *slog.Logger
	last opinion
}

// opinion is what of a verdict is worth a line in a log.
type opinion struct {
	accepted bool
	trust    wire.Trust
	reason   wire.FailureID
}

func (r *reporter) verdict(v wire.Verdict) {
	now := opinion{v.Accepted, v.Trust, v.Reason}
	if now == r.last {
		return
	}
	r.last = now
	say := r.log.Warn
	if v.Accepted && v.Trust == wire.Trusted {
		say = r.log.Info
	}
	text := "the verifier's verdict: " + string(v.Trust)
	if !v.Accepted {
		text = "the verifier rejected the evidence"
	}
	say(text, "trust", string(v.Trust), "reason", string(v.Reason), "failures", v.Failures, "entries", v.Resume.Entries)
}
