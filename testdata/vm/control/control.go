// Package control is how the driver of the virtual machine tests and the init of
// their guest talk: over a virtio serial port, which is there before the network
// and leaves no trace in what IMA measures.
//
// Each message is one line of JSON. The guest begins: a Message with Hello says that
// it has booted. Then the driver sends Requests, one at a time, and the guest answers
// each with one Message, before which a Message with Marker may come.
package control

// Name is that of the serial port.
const Name = "quicklime"

// Verb is what the guest is to do.
type Verb string

// The verbs.
const (
	Run     Verb = "run"     // Args, with Input, to its end: Exit, Out, Err
	Start   Verb = "start"   // Args with Env, in the background; its output goes to the console
	Stop    Verb = "stop"    // ends what was started, with SIGTERM
	Exec    Verb = "exec"    // Args: a Marker, execve(2) at once after it, and then as Run
	Read    Verb = "read"    // the file Path: Out
	Write   Verb = "write"   // Input to the file Path
	Fill    Verb = "fill"    // makes Count files in the new directory Path, and reads each
	Ping    Verb = "ping"    // nothing
	Suspend Verb = "suspend" // to RAM; answered after the machine was woken
	Reboot  Verb = "reboot"  // no answer: the next message is a Hello
	Off     Verb = "off"     // no answer
)

// Request asks the guest for one thing.
type Request struct {
	Do    Verb     `json:"do"`
	Args  []string `json:"args,omitempty"`
	Env   []string `json:"env,omitempty"` // beside the guest's own, "NAME=value"
	Path  string   `json:"path,omitempty"`
	Input []byte   `json:"input,omitempty"`
	Count int      `json:"count,omitempty"`
}

// Message is what a guest says.
type Message struct {
	Hello  *Hello `json:"hello,omitempty"`
	Marker bool   `json:"marker,omitempty"` // execve(2) is the next system call of the process that wrote this

	Error string `json:"error,omitempty"` // why it could not be done
	PID   int    `json:"pid,omitempty"`   // of what was started
	Exit  int    `json:"exit,omitempty"`
	Out   []byte `json:"out,omitempty"`
	Err   []byte `json:"err,omitempty"`
}

// Hello says what has booted.
type Hello struct {
	Kernel      string `json:"kernel"`       // uname -r
	CommandLine string `json:"command_line"` // /proc/cmdline
}
