package rest

// Role is what a client's certificate lets it do. The certificate carries it as
// a URI name, see quicklime/wire/pki.
type Role string

// The roles. No route has RoleRevoked.
const (
	RoleOperator Role = "operator" // may call every route
	RoleRevoked  Role = "revoked"  // may call none: the certificate counts no more
)

// A Route is one call of the REST API. Pattern is in the form of http.ServeMux
// without the method. A route that is not in a table does not exist, and one
// without a role is open to nobody (I12).
type Route struct {
	Method  string
	Pattern string
	Role    Role
	What    string // one line for the documentation
}

// The calls of the registrar's API.
var (
	ListMachines    = Route{"GET", "/v1/agents", RoleOperator, "every registered TPM"}
	GetMachine      = Route{"GET", "/v1/agents/{id}", RoleOperator, "one registered TPM"}
	DeleteMachine   = Route{"DELETE", "/v1/agents/{id}", RoleOperator, "forget a registered TPM"}
	AcceptKeys      = Route{"POST", "/v1/agents/{id}/accept-keys", RoleOperator, "make the keys that a known TPM last offered its keys"}
	CreateJoinToken = Route{"POST", "/v1/join-tokens", RoleOperator, "make a one-use registration secret"}
	ListJoinTokens  = Route{"GET", "/v1/join-tokens", RoleOperator, "registration secrets and what became of them"}
	DeleteJoinToken = Route{"DELETE", "/v1/join-tokens/{id}", RoleOperator, "make a registration secret worthless that was not used"}
)

// RegistrarRoutes is the whole API of the registrar.
var RegistrarRoutes = []Route{
	ListMachines, GetMachine, DeleteMachine, AcceptKeys,
	CreateJoinToken, ListJoinTokens, DeleteJoinToken,
}

// The calls of the verifier's API.
var (
	ListAgents      = Route{"GET", "/v1/agents", RoleOperator, "every enrolled agent and its status"}
	EnrolAgent      = Route{"POST", "/v1/agents", RoleOperator, "enrol an agent"}
	GetAgent        = Route{"GET", "/v1/agents/{id}", RoleOperator, "one agent; ?after=REV waits until its revision is greater"}
	UpdateAgent     = Route{"PATCH", "/v1/agents/{id}", RoleOperator, "give an agent another policy or label"}
	RebindAgent     = Route{"POST", "/v1/agents/{id}/rebind", RoleOperator, "enrol a known agent anew with other keys"}
	ClearAgent      = Route{"POST", "/v1/agents/{id}/clear", RoleOperator, "clear an agent's recorded failures"}
	DeleteAgent     = Route{"DELETE", "/v1/agents/{id}", RoleOperator, "end an agent's enrolment"}
	ListPolicies    = Route{"GET", "/v1/policies", RoleOperator, "every runtime policy"}
	AddPolicy       = Route{"POST", "/v1/policies", RoleOperator, "add a runtime policy"}
	GetPolicy       = Route{"GET", "/v1/policies/{name}", RoleOperator, "one runtime policy with its text"}
	GetSignedPolicy = Route{"GET", "/v1/policies/{name}/signed", RoleOperator, "one runtime policy as it was signed"}
	UpdatePolicy    = Route{"PUT", "/v1/policies/{name}", RoleOperator, "replace a runtime policy; every agent under it is judged again"}
	DeletePolicy    = Route{"DELETE", "/v1/policies/{name}", RoleOperator, "delete a runtime policy that no agent uses"}

	ListPayloads    = Route{"GET", "/v1/agents/{id}/payloads", RoleOperator, "an agent's payloads and what became of them"}
	ListAllPayloads = Route{"GET", "/v1/payloads", RoleOperator, "payloads of all agents; ?after=AGENT goes on where an answer ended"}
	AddPayload      = Route{"POST", "/v1/agents/{id}/payloads", RoleOperator, "begin the upload of a version of a payload; the same again resumes it"}
	GetPayload      = Route{"GET", "/v1/agents/{id}/payloads/{name}", RoleOperator, "the newest version of a payload; ?after=REV waits until its revision is greater"}
	PutPayload      = Route{"PUT", "/v1/agents/{id}/payloads/{name}", RoleOperator, "the ciphertext of ?version= from ?offset= on, as it is"}
	DeletePayload   = Route{"DELETE", "/v1/agents/{id}/payloads/{name}", RoleOperator, "withdraw a payload: the agent wipes it"}

	GetBootLog          = Route{"GET", "/v1/agents/{id}/boot-log", RoleOperator, "the logs of the boot that an agent runs, as it sent them"}
	ListBootPolicies    = Route{"GET", "/v1/boot-policies", RoleOperator, "every boot policy"}
	AddBootPolicy       = Route{"POST", "/v1/boot-policies", RoleOperator, "add a boot policy"}
	GetBootPolicy       = Route{"GET", "/v1/boot-policies/{name}", RoleOperator, "one boot policy with its text"}
	GetSignedBootPolicy = Route{"GET", "/v1/boot-policies/{name}/signed", RoleOperator, "one boot policy as it was signed"}
	UpdateBootPolicy    = Route{"PUT", "/v1/boot-policies/{name}", RoleOperator, "replace a boot policy; every agent under it is judged again"}
	DeleteBootPolicy    = Route{"DELETE", "/v1/boot-policies/{name}", RoleOperator, "delete a boot policy that no agent uses"}

	SearchMeasurements = Route{"GET", "/v1/measurements", RoleOperator, "which agents measured ?path= or ?digest=, now or in a past boot"}

	ListEvents        = Route{"GET", "/v1/events", RoleOperator, "events after ?after=SEQUENCE, or the newest; ?wait=1 waits for one"}
	GetRevocationKeys = Route{"GET", "/v1/revocation-keys", RoleOperator, "the public keys by which events are signed"}
	ListDeadLetters   = Route{"GET", "/v1/dead-letters", RoleOperator, "events that a webhook did not take"}
	RetryDeadLetters  = Route{"POST", "/v1/dead-letters/retry", RoleOperator, "send dead letters again, all or those of a webhook or an event"}
	DropDeadLetters   = Route{"POST", "/v1/dead-letters/drop", RoleOperator, "forget dead letters, all or those of a webhook or an event"}
)

// PolicyRoutes are those of one kind of policies.
type PolicyRoutes struct{ List, Add, Get, GetSigned, Update, Delete Route }

// The routes of both kinds.
var (
	RuntimePolicyRoutes = PolicyRoutes{ListPolicies, AddPolicy, GetPolicy, GetSignedPolicy, UpdatePolicy, DeletePolicy}
	BootPolicyRoutes    = PolicyRoutes{ListBootPolicies, AddBootPolicy, GetBootPolicy, GetSignedBootPolicy, UpdateBootPolicy, DeleteBootPolicy}
)

// VerifierRoutes is the whole API of the verifier.
var VerifierRoutes = []Route{
	ListAgents, EnrolAgent, GetAgent, UpdateAgent, RebindAgent, ClearAgent, DeleteAgent,
	ListPolicies, AddPolicy, GetPolicy, GetSignedPolicy, UpdatePolicy, DeletePolicy,
	ListPayloads, ListAllPayloads, AddPayload, GetPayload, PutPayload, DeletePayload,
	GetBootLog, ListBootPolicies, AddBootPolicy, GetBootPolicy, GetSignedBootPolicy, UpdateBootPolicy, DeleteBootPolicy,
	SearchMeasurements,
	ListEvents, GetRevocationKeys, ListDeadLetters, RetryDeadLetters, DropDeadLetters,
}
