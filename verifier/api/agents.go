package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"quicklime/wire/rest"
)

// agents answers the routes under /v1/agents.
type agents struct{ v Agents }

func (a agents) list(w http.ResponseWriter, r *http.Request) error {
	l, err := a.v.ListAgents(r.Context())
	return answer(w, http.StatusOK, l, err)
}

// get answers at once without ?after, else when there is something new to say.
func (a agents) get(w http.ResponseWriter, r *http.Request) error {
	id, err := agentID(r)
	if err != nil {
		return err
	}
	after, poll, err := afterOf(r)
	if err != nil {
		return err
	}
	agent, err := a.v.GetAgent(r.Context(), id)
	if err == nil && poll && agent.Revision <= after {
		ctx, cancel := context.WithTimeout(r.Context(), patience(agent, time.Now()))
		defer cancel()
		agent, err = a.v.WaitAgent(ctx, id, after)
	}
	return answer(w, http.StatusOK, agent, err)
}

// afterOf returns the revision in the query, or false if it names none.
func afterOf(r *http.Request) (after int64, ok bool, err error) {
	q := r.URL.Query()
	if !q.Has("after") {
		return 0, false, nil
	}
	after, err = strconv.ParseInt(q.Get("after"), 10, 64)
	if err != nil || after < 0 {
		return 0, false, rest.Errorf(rest.CodeBadRequest, "after=%q is not a revision", q.Get("after")).
			WithHint("use the revision of the last answer, or leave after out")
	}
	return after, true, nil
}

// patience is how long a poll waits: LongPoll, or until just after the agent's
// trust runs out, because then it is stale without a new revision.
func patience(a rest.Agent, now time.Time) time.Duration {
	if a.FreshUntil == nil || !a.FreshUntil.After(now) {
		return LongPoll
	}
	return min(LongPoll, a.FreshUntil.Sub(now)+time.Millisecond)
}

func (a agents) enrol(w http.ResponseWriter, r *http.Request) error {
	e, err := readEnrolment(r)
	if err != nil {
		return err
	}
	agent, err := a.v.EnrolAgent(r.Context(), e)
	return answer(w, http.StatusCreated, agent, err)
}

func (a agents) rebind(w http.ResponseWriter, r *http.Request) error {
	id, err := agentID(r)
	if err != nil {
		return err
	}
	e, err := readEnrolment(r)
	if err != nil {
		return err
	}
	if e.ID != id {
		return rest.Errorf(rest.CodeBadRequest, "the enrolment is of %s, the path names %s", e.ID, id)
	}
	agent, err := a.v.RebindAgent(r.Context(), e)
	return answer(w, http.StatusOK, agent, err)
}

func (a agents) update(w http.ResponseWriter, r *http.Request) error {
	id, err := agentID(r)
	if err != nil {
		return err
	}
	u, err := readUpdate(r)
	if err != nil {
		return err
	}
	agent, err := a.v.UpdateAgent(r.Context(), id, u)
	return answer(w, http.StatusOK, agent, err)
}

func (a agents) clear(w http.ResponseWriter, r *http.Request) error {
	id, err := agentID(r)
	if err != nil {
		return err
	}
	var in rest.ClearRequest
	if err := rest.ReadJSON(r, rest.MaxSmallBody, &in); err != nil {
		return err
	}
	agent, err := a.v.ClearAgent(r.Context(), id, in)
	return answer(w, http.StatusOK, agent, err)
}

func (a agents) delete(w http.ResponseWriter, r *http.Request) error {
	id, err := agentID(r)
	if err != nil {
		return err
	}
	return answerNothing(w, a.v.DeleteAgent(r.Context(), id))
}

// answer writes v unless there is an error to return.
func answer(w http.ResponseWriter, status int, v any, err error) error {
	if err != nil {
		return err
	}
	return rest.WriteJSON(w, status, v)
}

// answerNothing says that a call succeeded and there is nothing to show.
func answerNothing(w http.ResponseWriter, err error) error {
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

func (a agents) bootLog(w http.ResponseWriter, r *http.Request) error {
	id, err := agentID(r)
	if err != nil {
		return err
	}
	out, err := a.v.GetBootLog(r.Context(), id)
	return answer(w, http.StatusOK, out, err)
}
