// Two lanes of SHA-256 (FIPS 180-4) with the SHA extensions (Intel SDM, volume 2:
// SHA256RNDS2, SHA256MSG1, SHA256MSG2). SHA256RNDS2 does two rounds: of the two
// registers of a state, ABEF and CDGH with A and C in the highest word, it
// overwrites the second with the new ABEF, and the first is then the new CDGH. It
// takes the next two words of W+K from the low half of X0.
//
// One state is a chain of 32 such instructions a block, each waiting for the one
// before, four cycles, of which it keeps the unit busy for two, or three (measured on an
// Intel Xeon of 2023). So there is room for a second lane, but for a whole one only where
// they are two, and what counts for each is its latency:
//
//   - the first eight rounds of an extend take their words from the old value's
//     registers as they are (OPEN, CLOSE);
//   - in the schedule a group of four words waits for the one before through
//     SHA256MSG2 and one addition only (EXPAND);
//   - the second block of an extend is padding, so its W+K are constants (PAD).
//
// Registers, in all that follows:
#define A0 X1  // lane A: state ABEF
#define A1 X2  // lane A: state CDGH
#define B0 X3  // lane B, likewise
#define B1 X4
               // X5 to X8: 16 words of lane A's schedule; where it has none, states to add
               // X9 to X12: 16 words of lane B's schedule
#define TA X13 // for a moment, lane A
#define TB X14 // lane B
#define BE X15 // PSHUFB with it swaps the bytes of each word
               // R8: k, R9: padding

// ROUNDS does four rounds, i to i+3 fours, with the words w.
#define ROUNDS(s0, s1, w, i) \
	VPADDD 16*i(R8), w, X0     \
	SHA256RNDS2 X0, s0, s1     \
	VPSHUFD $0x0e, X0, X0      \
	SHA256RNDS2 X0, s1, s0

// PAD does four rounds of the second block of an extend.
#define PAD(i) \
	MOVQ 16*i(R9), X0      \
	SHA256RNDS2 X0, A0, A1 \
	MOVQ 16*i+8(R9), X0    \
	SHA256RNDS2 X0, A1, A0

// EXPAND replaces w0, the words t-16 to t-13, by t to t+3; w3 is t-4 to t-1. The
// last of the words t-7 to t-4 is the latest, and is added after SHA256MSG2.
#define EXPAND(w0, w1, w2, w3, tmp) \
	VPSRLDQ $4, w2, tmp   \
	SHA256MSG1 w1, w0     \
	VPADDD tmp, w0, w0    \
	SHA256MSG2 w3, w0     \
	VPSLLDQ $12, w3, tmp  \
	VPADDD tmp, w0, w0

// BOTH is EXPAND and ROUNDS in both lanes, BOTHPAD the same with PAD in lane A. In
// any order they would be right; the order decides how well the lanes share the unit.
// Lane B, whose words are there in time, adds all of t-7 to t-4 before SHA256MSG2: an
// instruction less for two.
#define BOTH(i, w0, w1, w2, w3, x0, x1, x2, x3) \
	VPSRLDQ $4, w2, TA \
	SHA256MSG1 w1, w0 \
	VPADDD TA, w0, w0 \
	VPALIGNR $4, x2, x3, TB \
	SHA256MSG1 x1, x0 \
	SHA256MSG2 w3, w0 \
	VPADDD TB, x0, x0 \
	SHA256MSG2 x3, x0 \
	VPSLLDQ $12, w3, TA \
	VPADDD TA, w0, w0 \
	VPADDD 16*i(R8), w0, TA \
	MOVO TA, X0 \
	SHA256RNDS2 X0, A0, A1 \
	VPADDD 16*i(R8), x0, TB \
	MOVO TB, X0 \
	SHA256RNDS2 X0, B0, B1 \
	VPSHUFD $0x0e, TB, X0 \
	SHA256RNDS2 X0, B1, B0 \
	VPSHUFD $0x0e, TA, X0 \
	SHA256RNDS2 X0, A1, A0

#define BOTHPAD(i, x0, x1, x2, x3) \
	VPALIGNR $4, x2, x3, TB \
	MOVQ 16*i(R9), X0 \
	SHA256RNDS2 X0, A0, A1 \
	SHA256MSG1 x1, x0 \
	VPADDD TB, x0, x0 \
	SHA256MSG2 x3, x0 \
	MOVQ 16*i+8(R9), X0 \
	SHA256RNDS2 X0, A1, A0 \
	VPADDD 16*i(R8), x0, TB \
	MOVO TB, X0 \
	SHA256RNDS2 X0, B0, B1 \
	VPSHUFD $0x0e, TB, X0 \
	SHA256RNDS2 X0, B1, B0

// ONE is EXPAND and ROUNDS in lane A alone.
#define ONE(i, w0, w1, w2, w3) \
	EXPAND(w0, w1, w2, w3, TA)   \
	ROUNDS(A0, A1, w0, i)

// The rounds 16 to 63 of a block, in both lanes, and in lane A alone.
#define BOTH16TO63 \
	BOTH( 4, X5, X6, X7, X8,  X9, X10, X11, X12) \
	BOTH( 5, X6, X7, X8, X5, X10, X11, X12,  X9) \
	BOTH( 6, X7, X8, X5, X6, X11, X12,  X9, X10) \
	BOTH( 7, X8, X5, X6, X7, X12,  X9, X10, X11) \
	BOTH( 8, X5, X6, X7, X8,  X9, X10, X11, X12) \
	BOTH( 9, X6, X7, X8, X5, X10, X11, X12,  X9) \
	BOTH(10, X7, X8, X5, X6, X11, X12,  X9, X10) \
	BOTH(11, X8, X5, X6, X7, X12,  X9, X10, X11) \
	BOTH(12, X5, X6, X7, X8,  X9, X10, X11, X12) \
	BOTH(13, X6, X7, X8, X5, X10, X11, X12,  X9) \
	BOTH(14, X7, X8, X5, X6, X11, X12,  X9, X10) \
	BOTH(15, X8, X5, X6, X7, X12,  X9, X10, X11)

#define ONE16TO63 \
	ONE( 4, X5, X6, X7, X8) \
	ONE( 5, X6, X7, X8, X5) \
	ONE( 6, X7, X8, X5, X6) \
	ONE( 7, X8, X5, X6, X7) \
	ONE( 8, X5, X6, X7, X8) \
	ONE( 9, X6, X7, X8, X5) \
	ONE(10, X7, X8, X5, X6) \
	ONE(11, X8, X5, X6, X7) \
	ONE(12, X5, X6, X7, X8) \
	ONE(13, X6, X7, X8, X5) \
	ONE(14, X7, X8, X5, X6) \
	ONE(15, X8, X5, X6, X7)

// LOAD reads a block of a message.
#define LOAD(p, w0, w1, w2, w3) \
	VMOVDQU (p), w0               \
	VMOVDQU 16(p), w1             \
	VMOVDQU 32(p), w2             \
	VMOVDQU 48(p), w3             \
	VPSHUFB BE, w0, w0            \
	VPSHUFB BE, w1, w1            \
	VPSHUFB BE, w2, w2            \
	VPSHUFB BE, w3, w3

// LOADSUM reads the 32 bytes of a digest, SAVESUM writes them.
#define LOADSUM(p, w0, w1) \
	VMOVDQU (p), w0          \
	VMOVDQU 16(p), w1        \
	VPSHUFB BE, w0, w0       \
	VPSHUFB BE, w1, w1

#define SAVESUM(w0, w1, p, t0, t1) \
	VPSHUFB BE, w0, t0               \
	VPSHUFB BE, w1, t1               \
	VMOVDQU t0, (p)                  \
	VMOVDQU t1, 16(p)

// TABLES loads what stays in registers.
#define TABLES \
	LEAQ ·k(SB), R8       \
	LEAQ ·padding(SB), R9 \
	VMOVDQU ·flip(SB), BE

// OPEN does the rounds 0 to 7 of an extend, lane A, from the initial state. X0 has
// W+K of the rounds 0 1 4 5, TA that of 2 3 6 7.
#define OPEN \
	VMOVDQU ·initial(SB), A0    \
	VMOVDQU ·initial+16(SB), A1 \
	VPSHUFD $0x0e, X0, TB       \
	SHA256RNDS2 X0, A0, A1      \
	MOVO TA, X0                 \
	SHA256RNDS2 X0, A1, A0      \
	VPSHUFD $0x0e, TA, TA       \
	MOVO TB, X0                 \
	SHA256RNDS2 X0, A0, A1      \
	MOVO TA, X0                 \
	SHA256RNDS2 X0, A1, A0

// FIRST makes what OPEN takes of a value in X5, X6: words A to D, E to H.
#define FIRST \
	VPUNPCKLQDQ X6, X5, X0         \
	VPUNPCKHQDQ X6, X5, TA         \
	VPADDD ·firstk(SB), X0, X0     \
	VPADDD ·firstk+16(SB), TA, TA

// MIDDLE ends the first block of an extend; its state is in X5, X6 too.
#define MIDDLE \
	VPADDD ·initial(SB), A0, A0    \
	VPADDD ·initial+16(SB), A1, A1 \
	MOVO A0, X5                    \
	MOVO A1, X6

// CLOSE ends the second block of an extend: X0 and TA as OPEN takes them, which is
// urgent, and the value in X5, X6. On the way its words are in order A B E F, C D G H.
#define CLOSE \
	VPSHUFD $0x1b, X5, X5         \
	VPSHUFD $0x1b, X6, X6         \
	VPADDD ·firstk(SB), X5, X0    \
	VPADDD ·firstk+16(SB), X6, TA \
	VPSHUFD $0x1b, A1, A1         \
	VPSHUFD $0x1b, A0, A0         \
	VPADDD A1, TA, TA             \
	VPADDD A0, X0, X0             \
	VPADDD A1, X6, A1             \
	VPADDD A0, X5, A0             \
	VPUNPCKLQDQ A1, A0, X5        \
	VPUNPCKHQDQ A1, A0, X6

// WORDS turns a state into its words, A to D and E to H.
#define WORDS(s0, s1, lo, hi) \
	VPSHUFD $0x1b, s0, s0       \
	VPSHUFD $0x1b, s1, s1       \
	VPUNPCKLQDQ s1, s0, lo      \
	VPUNPCKHQDQ s1, s0, hi

// AHEAD is how far behind a message another is fetched, which in a list will be asked for
// in the next call: about 128 entries.
#define AHEAD 19456
