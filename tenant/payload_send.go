package tenant

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"quicklime/tenant/client"
	"quicklime/verifier/identity"
	"quicklime/wire"
	"quicklime/wire/daemon"
	"quicklime/wire/payload"
	"quicklime/wire/rest"
)

// maxUploads bounds how often an upload that was interrupted is taken up again.
const maxUploads = 5

// shipment is what the flags of "payload send" say.
type shipment struct {
	name, acceptEK string
	asFile, wait   bool
	expires        life
	timeout        time.Duration
}

func (p *program) payloadSend() *cobra.Command {
	o := shipment{expires: life{Duration: payloadLasts}}
	var cert certificateFlags
	c := &cobra.Command{
		Use:   "send AGENT FILE|DIR | send AGENT --cert CA",
		Short: "Send a file or a directory that only this machine can open, while it is trusted",
		Long: `Send a file or a directory to a machine. It is encrypted here, under a key of which one
half is sealed to the machine's TPM and the other is left with the verifier, which gives
it to the machine with a verdict that it is trusted. The machine puts it, in memory,
into the directory NAME under /run/quicklime-agent/payloads; a directory, and a file
whose name ends in .tar, .tar.gz, .tgz or .zip, is unpacked there. What is sent under
the same name again takes its place.

The EK that it is sealed to needs a certificate that chains to one in ek_trust_anchors,
or --accept-ek with the agent's whole id.

--cert sends what "ca package" makes, with a new key and a certificate of the operator's
authority, which "ca renew" renews while the machine stays trusted. The payload is called
certificate unless --name says otherwise, and nobody gets it once the certificate has ended.

Exit codes: 0 done, 1 failed, 2 usage; 3 with --wait, the machine did not say in time
that it stored it.

` + helpAgent,
		Args: cert.args,
	}
	f := c.Flags()
	f.StringVar(&o.name, "name", "", "call the payload `NAME`, not as the file is called")
	f.StringVar(&o.acceptEK, "accept-ek", "", "seal to this EK, named by its `HASH`, without a trusted certificate")
	f.BoolVar(&o.asFile, "as-file", false, "leave an archive as it is")
	f.BoolVar(&o.wait, "wait", false, "wait until the machine has it, and check its receipt")
	f.DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long --wait waits")
	f.Var(&o.expires, "expires", "nobody gets it after that time, such as 90d or 12h, the machine itself after a reboot included")
	cert.flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		switch {
		case o.name != "" && !wire.ValidName(o.name):
			return usage(c, "--name %q: 1 to 64 of a–z, A–Z, 0–9, '.', '_' and '-', the first a letter or digit", o.name)
		case o.timeout <= 0:
			return usage(c, "--timeout %v is no length of time to wait", o.timeout)
		case cert.ca != "":
			return p.sendCertificate(c.Context(), args[0], &cert, o)
		}
		return p.sendPayload(c.Context(), args[0], args[1], o)
	}
	return c
}

// sendPayload resolves, seals, sends and waits.
func (p *program) sendPayload(ctx context.Context, agent, path string, o shipment) error {
	what, err := contentsOf(path, o.asFile)
	if err != nil {
		return err
	}
	if o.name != "" {
		what.name = o.name
	}
	if !wire.ValidName(what.name) {
		return daemon.WithHint(fmt.Errorf("%q cannot name a payload", what.name), "choose another with --name")
	}
	s, err := p.connect()
	if err != nil {
		return err
	}
	id, err := s.resolve(ctx, agent, reach{registrar: true, verifier: true})
	if err != nil {
		return err
	}
	sealed, err := p.sealFor(ctx, s, id, what, o)
	if err != nil {
		return err
	}
	v, err := p.deliver(ctx, s, id, sealed)
	if err != nil {
		return err
	}
	return p.showDelivered(ctx, s, v, o)
}

// showDelivered shows a payload that was sent, with --wait once the machine says what
// became of it.
func (p *program) showDelivered(ctx context.Context, s servers, v payloadView, o shipment) (err error) {
	if certificate := v.Certificate; o.wait {
		if !p.json {
			p.say("%s: %s sent to the verifier", v.Name, byteSize(v.Received))
		}
		v, err = p.awaitPayload(ctx, s, v.Agent, v.Payload, o.timeout, payloadArrived)
		v.Certificate = certificate
	}
	if err != nil {
		return err
	}
	if err := p.showPayload(v); err != nil || !o.wait || v.State == payloadStored && v.Checked {
		return err
	}
	return errOtherState
}

// deliver sends a payload to the machine id and returns how it stands then.
func (p *program) deliver(ctx context.Context, s servers, id string, sealed sealedPayload) (v payloadView, err error) {
	name := sealed.manifest.Name
	if err := s.config.sending(id, name, sealed.sent); err != nil {
		return v, fmt.Errorf("nothing is sent: %w", err)
	}
	one, err := p.uploadPayload(ctx, s, id, sealed)
	if err == nil {
		err = s.config.sent(id, name, sealed.sent)
	}
	if err != nil {
		return v, err
	}
	return s.config.viewPayload(id, one, p.now())
}

// A recipient is a machine for which a version of a payload can be sealed.
type recipient struct {
	signer   *ecdsa.PrivateKey // the operator's payload key
	identity identity.Identity
	manifest payload.Manifest // as far as it is known before the contents are
}

// sealFor checks who the machine is, and seals for it.
func (p *program) sealFor(ctx context.Context, s servers, id string, what contents, o shipment) (sealed sealedPayload, err error) {
	to, err := p.recipient(ctx, s, id, what.name, o.acceptEK)
	if err != nil {
		return sealed, err
	}
	to.manifest.Expires = to.manifest.Issued.Add(o.expires.Duration).Truncate(time.Second)
	return s.config.seal(to, what)
}

// recipient checks who the machine is, and chooses the version that a payload has next.
func (p *program) recipient(ctx context.Context, s servers, id, name, acceptEK string) (to recipient, err error) {
	if to.signer, err = s.config.signingKey(); err != nil {
		return to, err
	}
	machine, err := s.registrar.Machine(ctx, id)
	if err != nil {
		return to, err
	}
	if to.identity, err = identity.Check(id, machine.EKPublic, machine.AKPublic, machine.Transport); err != nil {
		return to, daemon.WithHint(fmt.Errorf("what the registrar says of %s does not hold: %w", short(id), err), "send it nothing; let the machine register again, and look at the registrar if that does not help")
	}
	now := p.now().UTC().Truncate(time.Second)
	if err := s.config.checkEK(machine, to.identity, acceptEK, now); err != nil {
		return to, err
	}
	before, err := s.greatestVersion(ctx, id, name)
	if err != nil {
		return to, err
	}
	to.manifest = payload.Manifest{Agent: id, Name: name, Version: nextVersion(now, before), Issued: now}
	return to, nil
}

// latestVersion is the greatest that a clock makes, right or wrong: see nextVersion.
const latestVersion = 99991231235959

// greatestVersion is the greatest version of a payload that anybody knows. A machine keeps
// the greatest that it opened for good: a verifier that makes one up, out of which the
// next is chosen, could have all be used up.
func (s servers) greatestVersion(ctx context.Context, id, name string) (uint64, error) {
	said, err := s.lastVersion(ctx, id, name)
	if err != nil {
		return 0, err
	}
	kept, err := s.config.remembered(id, name)
	if err != nil {
		return 0, err
	}
	var own uint64
	for _, f := range kept {
		own = max(own, f.Version)
	}
	if said > max(own, latestVersion) {
		return 0, daemon.WithHint(fmt.Errorf("the verifier says that there was version %d of payload %s, which no clock makes and nobody sent from here", said, name),
			"look at the verifier; if somebody did send it, do so from where that was, or choose another --name")
	}
	return max(said, own), nil
}

// lastVersion is the greatest version of a payload that the verifier knows, or one that
// is not less: of an agent's withdrawn payloads it forgets which had which.
func (s servers) lastVersion(ctx context.Context, id, payload string) (uint64, error) {
	last, err := s.verifier.Payload(ctx, id, payload)
	if !isCode(err, rest.CodeNotFound) {
		return last.Version, err
	}
	all, err := s.verifier.Payloads(ctx, id)
	if isCode(err, rest.CodeNotFound) {
		return 0, nil // what sends it says that there is no such agent
	}
	return all.Floor, err
}

// uploadPayload sends a payload in pieces, and goes on where it was if the connection is
// lost.
func (p *program) uploadPayload(ctx context.Context, s servers, id string, sealed sealedPayload) (one rest.Payload, err error) {
	for try := 1; ; try++ {
		one, err = p.uploadOnce(ctx, s, id, sealed)
		var lost *client.Unreachable
		if err == nil || !errors.As(err, &lost) || try == maxUploads || ctx.Err() != nil {
			return one, err
		}
		p.say("the connection is lost, going on: %v", err)
		select {
		case <-time.After(p.pause):
		case <-ctx.Done():
			return one, ctx.Err()
		}
	}
}

func (p *program) uploadOnce(ctx context.Context, s servers, id string, sealed sealedPayload) (rest.Payload, error) {
	one, err := s.verifier.AddPayload(ctx, id, sealed.upload)
	if err != nil {
		return one, err
	}
	var show *bar
	if one.Sealed > pieceSize { // else there is nothing between its beginning and its end
		show = p.progress("uploading "+sealed.manifest.Name, one.Sealed, byteSize)
	}
	defer show.end()
	for show.at(one.Received); !one.Complete; show.at(one.Received) {
		if one.Received > uint64(len(sealed.content)) || one.Version != sealed.manifest.Version {
			return one, fmt.Errorf("the verifier says that it has %d bytes of version %d", one.Received, one.Version)
		}
		left := sealed.content[one.Received:]
		if one, err = s.verifier.PutPayload(ctx, id, one.Name, one.Version, one.Received, left[:min(len(left), pieceSize)]); err != nil {
			return one, err
		}
	}
	return one, nil
}

// pieceSize is what one call carries.
const pieceSize = rest.MaxPayloadPiece

// What is waited for after a payload was sent, and after it was withdrawn.
var (
	payloadArrived = []string{payloadStored, payloadFailed, payloadRefused, payloadForged, payloadExpired, payloadWithdrawn, payloadWithdraw}
	payloadGone    = []string{payloadWithdrawn, payloadForged}
)

// awaitPayload waits until a payload is in one of the states ends, and tells what it
// goes through meanwhile. If the time runs out first it returns how it stands.
func (p *program) awaitPayload(ctx context.Context, s servers, id string, one rest.Payload, patience time.Duration, ends []string) (payloadView, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	version := one.Version
	var said string
	for {
		v, err := s.config.viewPayload(id, one, p.now())
		if err != nil {
			return v, err
		}
		if one.Version != version {
			return v, fmt.Errorf("version %d has taken the place of the one that was sent", one.Version)
		}
		if slices.Contains(ends, v.State) {
			return v, nil
		}
		if now := v.words(); !p.json && now != said {
			p.say("%s: %s", one.Name, now)
			said = now
		}
		next, err := s.verifier.PollPayload(ctx, id, one.Name, one.Revision)
		if err != nil && ctx.Err() == context.DeadlineExceeded {
			p.warn(`the machine has said nothing of it after %v; "%s agent status %s" says whether it is connected and trusted`, patience, name, short(id))
			return v, nil
		}
		if err != nil {
			return v, err
		}
		one = next
	}
}
