// Package api is the verifier's REST API: a handler for every route of
// rest.VerifierRoutes on top of the narrow view of the verifier that Verifier
// describes.
//
// A handler checks everything that can be checked without the verifier's state:
// grammar of ids and names, that an identity hangs together (EK, AK and
// transport key), that a policy is signed by somebody who is trusted, and
// compiles. What it passes on is sound; whether it fits what is stored is for
// the Verifier to say.
//
// Every refusal is a *rest.Error with a code and, where there is something to
// do, a hint. The package answers nothing itself: rest.NewMux writes what a
// handler returns, and authorises before it calls one (I12).
package api

import (
	"context"
	"time"

	"quicklime/verifier/policy"
	"quicklime/wire/rest"
)

// LongPoll is how long GetAgent with ?after, and ListEvents with ?wait, wait for news: under
// the 30 s after which proxies and clients commonly give up on an idle request.
const LongPoll = 25 * time.Second

// Verifier is what the handlers need of the verifier. Every method may be called
// at any time from any goroutine.
//
// A refusal is an error that errors.As finds a *rest.Error in, with the code
// that the method names; a handler adds the route's hint if it has none. Any
// other error is the verifier's own and reaches the client as CodeInternal,
// without its words.
type Verifier interface {
	Agents
	Measurements
	Payloads
	Events

	RuntimePolicies() Policies[rest.RuntimePolicy]
	BootPolicies() Policies[rest.BootPolicy]

	// Compiled has what the text of a runtime policy says at hand for the Add or
	// Update of it that follows.
	Compiled(p *policy.Policy)
}

// Agents are the enrolments and what is known of each.
type Agents interface {
	// ListAgents returns every enrolled agent, without its failures, ordered by
	// id. A row that cannot be read is counted and left out (I10).
	ListAgents(ctx context.Context) (rest.AgentList, error)

	// GetAgent returns one agent with its oldest failures. Trust is computed as of now.
	// CodeNotFound: not enrolled.
	GetAgent(ctx context.Context, id string) (rest.Agent, error)

	// WaitAgent is GetAgent as soon as the agent's revision is greater than
	// after, and whatever GetAgent says when ctx ends before that: the end of
	// ctx is no error. An agent that is deleted meanwhile is CodeNotFound.
	WaitAgent(ctx context.Context, id string, after int64) (rest.Agent, error)

	// EnrolAgent makes e, whose identity was checked, the agent's enrolment.
	// CodeConflict: the id is enrolled already, or another enrolment pins the
	// same transport key. CodeNotFound: there is no policy e.Policy or e.BootPolicy.
	EnrolAgent(ctx context.Context, e rest.Enrolment) (rest.Agent, error)

	// UpdateAgent changes label or policies; the agent is judged anew under
	// another policy. CodeNotFound: no such agent, or no such policy. CodeInvalid:
	// the TPM policy has no value that counts for some PCR.
	UpdateAgent(ctx context.Context, id string, u rest.AgentUpdate) (rest.Agent, error)

	// RebindAgent ends the enrolment of e.ID and begins e, in one step: other
	// keys of the same EK, a new record, no epoch, no failures. CodeNotFound:
	// not enrolled, or no policy of e. CodeConflict: the keys are the ones
	// pinned now, or another enrolment pins the transport key.
	RebindAgent(ctx context.Context, e rest.Enrolment) (rest.Agent, error)

	// ClearAgent records that the operator cleared the standing failures. Those
	// found later count again. seen is what there is as far as he knows.
	// CodeNotFound: not enrolled. CodeConflict: there are others by now.
	ClearAgent(ctx context.Context, id string, seen rest.ClearRequest) (rest.Agent, error)

	// DeleteAgent ends the enrolment and its session. CodeNotFound: not
	// enrolled.
	DeleteAgent(ctx context.Context, id string) error

	// GetBootLog returns the log of an agent's boot. CodeNotFound: not enrolled, or it
	// has sent none.
	GetBootLog(ctx context.Context, id string) (rest.BootLog, error)
}

// Policies are the named policies of one kind: T is rest.RuntimePolicy or
// rest.BootPolicy.
type Policies[T any] interface {
	// List returns every policy without its text, ordered by name.
	List(ctx context.Context) ([]T, error)

	// Get returns one policy, its text to the byte. CodeNotFound.
	Get(ctx context.Context, name string) (T, error)

	// GetSigned returns one policy with its envelope, to the byte, and without the
	// text. CodeNotFound: there is none, or nobody signed it.
	GetSigned(ctx context.Context, name string) (T, error)

	// Add stores p, of which everything but UpdatedAt and Agents is set and checked,
	// and returns it without the text. CodeConflict: the name is taken.
	Add(ctx context.Context, p T) (T, error)

	// Update replaces the policy of p's name as Add stores one; every agent under it
	// is judged again. CodeNotFound.
	Update(ctx context.Context, p T) (T, error)

	// Delete deletes a policy. CodeNotFound; CodeConflict: an agent is judged under
	// it.
	Delete(ctx context.Context, name string) error
}

// Measurements are the certified lists of all agents.
type Measurements interface {
	// SearchMeasurements returns who has measured what q asks for, in the boots
	// that are kept.
	SearchMeasurements(ctx context.Context, q rest.MeasurementQuery) (rest.MeasurementList, error)
}

// Events are what became of the trust of machines, and what others know of it.
type Events interface {
	// ListEvents returns the events after a sequence number, the oldest first. If
	// there is none it waits for one until ctx ends, which is no error.
	ListEvents(ctx context.Context, after int64) (rest.EventList, error)

	// LastEvents returns the newest events, the oldest of them first.
	LastEvents(ctx context.Context) (rest.EventList, error)

	// RevocationKeys returns the public keys by which they are signed.
	RevocationKeys(ctx context.Context) (rest.RevocationKeys, error)

	// DeadLetters returns what webhooks did not take; the others have it sent
	// again, or forgotten. CodeNotFound: there is no such webhook or event.
	// CodeConflict: the webhook is not configured any more, so that nothing can be
	// sent to it.
	DeadLetters(ctx context.Context) (rest.DeadLetterList, error)
	RetryDeadLetters(ctx context.Context, q rest.DeadLetterRequest) (rest.DeadLetterCount, error)
	DropDeadLetters(ctx context.Context, q rest.DeadLetterRequest) (rest.DeadLetterCount, error)
}
