//go:build !purego

#include "go_asm.h"
#include "textflag.h"

// Two lanes of SHA-256 (FIPS 180-4) with the SHA extensions (Intel SDM, volume 2:
// SHA256RNDS2, SHA256MSG1, SHA256MSG2). SHA256RNDS2 does two rounds: of the two
// registers of a state, ABEF and CDGH with A and C in the highest word, it
// overwrites the second with the new ABEF, and the first is then the new CDGH. It
// takes the next two words of W+K from the low half of X0.
//
// One state is a chain of 32 such instructions a block, each waiting for the one
// before, twice as long as it keeps the unit busy. So there is room for a second
// lane, and what counts for each is its latency:
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
#define BOTH(i, w0, w1, w2, w3, x0, x1, x2, x3) \
	VPSRLDQ $4, w2, TA \
	SHA256MSG1 w1, w0 \
	VPADDD TA, w0, w0 \
	VPSRLDQ $4, x2, TB \
	SHA256MSG1 x1, x0 \
	SHA256MSG2 w3, w0 \
	VPADDD TB, x0, x0 \
	SHA256MSG2 x3, x0 \
	VPSLLDQ $12, x3, TB \
	VPSLLDQ $12, w3, TA \
	VPADDD TA, w0, w0 \
	VPADDD TB, x0, x0 \
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
	VPSRLDQ $4, x2, TB \
	MOVQ 16*i(R9), X0 \
	SHA256RNDS2 X0, A0, A1 \
	SHA256MSG1 x1, x0 \
	VPADDD TB, x0, x0 \
	SHA256MSG2 x3, x0 \
	MOVQ 16*i+8(R9), X0 \
	SHA256RNDS2 X0, A1, A0 \
	VPSLLDQ $12, x3, TB \
	VPADDD TB, x0, x0 \
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

// AHEAD is how far behind a message another is fetched, which in a list will be
// asked for soon: about 64 entries.
#define AHEAD 9728

// FETCHINDEX fetches the index entry of a hash, in words as WORDS leaves them, and
// leaves its address in R13: index, and 4 bytes times numbers times the first 64 bits,
// a fraction. It uses AX and DX.
#define FETCHINDEX(words) \
	MOVQ words, AX            \
	ROLQ $32, AX              \
	MOVQ near+48(FP), R13     \
	MULQ place_numbers(R13)   \
	MOVQ place_index(R13), R13 \
	LEAQ (R13)(DX*4), R13     \
	PREFETCHT0 (R13)

// FETCHSLOTS fetches the slots that the index entry at R13 tells of: three, which lie
// in two lines. A fetch of what is not mapped does nothing. It uses AX and DX.
#define FETCHSLOTS \
	MOVL (R13), AX           \
	SHLQ $5, AX              \
	MOVQ near+48(FP), DX     \
	ADDQ place_slots(DX), AX \
	PREFETCHT0 (AX)          \
	PREFETCHT0 64(AX)

// func extendAndHash(value, sum *[32]byte, messages *[]byte, jobs *job, sums *[32]byte, n int, near *place)
//
// Lane A extends value with sum while lane B ends the hash of the first message,
// then with that hash while lane B ends the second, and so on.
TEXT ·extendAndHash(SB), NOSPLIT, $0-56
	MOVQ value+0(FP), DI
	MOVQ sum+8(FP), AX
	MOVQ messages+16(FP), BX
	MOVQ jobs+24(FP), SI
	MOVQ sums+32(FP), R14
	MOVQ n+40(FP), CX
	MOVQ near+48(FP), R13
	MOVQ place_next(R13), R13
	TABLES
	LOADSUM(DI, X5, X6)
	LOADSUM(AX, X7, X8)
	FIRST

next:
	OPEN
	MOVQ job_first(SI), R10
	MOVQ job_second(SI), R11
	LEAQ job_buffer(SI)(R11*1), R11   // the last block
	LEAQ job_buffer+64(SI), R12
	TESTQ R10, R10
	MOVQ (BX), AX
	PREFETCHT0 AHEAD(AX)
	PREFETCHT0 AHEAD+64(AX)
	PREFETCHT0 AHEAD+128(AX)
	LEAQ (AX)(R10*1), R10             // the last block but one
	CMOVQLT R12, R10
	VMOVDQU job_state(SI), B0
	VMOVDQU job_state+16(SI), B1
	LOAD(R10, X9, X10, X11, X12)
	ROUNDS(B0, B1, X9, 0)
	ROUNDS(B0, B1, X10, 1)
	ROUNDS(A0, A1, X7, 2)
	ROUNDS(B0, B1, X11, 2)
	ROUNDS(A0, A1, X8, 3)
	ROUNDS(B0, B1, X12, 3)
	BOTH16TO63
	MIDDLE
	VPADDD job_state(SI), B0, B0
	VPADDD job_state+16(SI), B1, B1
	CMPQ R10, R11
	JEQ single

second:
	MOVO B0, X7
	MOVO B1, X8
	LOAD(R11, X9, X10, X11, X12)
	PAD(0)
	ROUNDS(B0, B1, X9, 0)
	PAD(1)
	ROUNDS(B0, B1, X10, 1)
	PAD(2)
	ROUNDS(B0, B1, X11, 2)
	PAD(3)
	ROUNDS(B0, B1, X12, 3)
	BOTHPAD( 4,  X9, X10, X11, X12)
	BOTHPAD( 5, X10, X11, X12,  X9)
	BOTHPAD( 6, X11, X12,  X9, X10)
	BOTHPAD( 7, X12,  X9, X10, X11)
	BOTHPAD( 8,  X9, X10, X11, X12)
	BOTHPAD( 9, X10, X11, X12,  X9)
	BOTHPAD(10, X11, X12,  X9, X10)
	BOTHPAD(11, X12,  X9, X10, X11)
	BOTHPAD(12,  X9, X10, X11, X12)
	BOTHPAD(13, X10, X11, X12,  X9)
	BOTHPAD(14, X11, X12,  X9, X10)
	BOTHPAD(15, X12,  X9, X10, X11)
	FETCHSLOTS // of the hash before
	CLOSE
	VPADDD X7, B0, B0
	VPADDD X8, B1, B1
	WORDS(B0, B1, X7, X8)
	SAVESUM(X7, X8, R14, B0, B1)
	FETCHINDEX(X7)
	ADDQ $32, R14
	ADDQ $24, BX
	ADDQ $job__size, SI
	DECQ CX
	JNZ next
	MOVQ near+48(FP), DX
	MOVQ R13, place_next(DX)
	SAVESUM(X5, X6, DI, X5, X6)
	RET

single: // what lane B has done was for nothing
	VMOVDQU job_state(SI), B0
	VMOVDQU job_state+16(SI), B1
	JMP second

// func extend(value, sums *[32]byte, n int)
TEXT ·extend(SB), NOSPLIT, $0-24
	MOVQ value+0(FP), DI
	MOVQ sums+8(FP), SI
	MOVQ n+16(FP), CX
	TABLES
	LOADSUM(DI, X5, X6)
	FIRST

next:
	OPEN
	LOADSUM(SI, X7, X8)
	ROUNDS(A0, A1, X7, 2)
	ROUNDS(A0, A1, X8, 3)
	ONE16TO63
	MIDDLE
	PAD(0)
	PAD(1)
	PAD(2)
	PAD(3)
	PAD(4)
	PAD(5)
	PAD(6)
	PAD(7)
	PAD(8)
	PAD(9)
	PAD(10)
	PAD(11)
	PAD(12)
	PAD(13)
	PAD(14)
	PAD(15)
	CLOSE
	ADDQ $32, SI
	DECQ CX
	JNZ next
	SAVESUM(X5, X6, DI, X5, X6)
	RET

// func hash2(a, b *[8]uint32, p, q *byte, n int)
TEXT ·hash2(SB), NOSPLIT, $0-40
	MOVQ a+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ p+16(FP), R10
	MOVQ q+24(FP), R11
	MOVQ n+32(FP), CX
	TABLES
	VMOVDQU (DI), A0
	VMOVDQU 16(DI), A1
	VMOVDQU (SI), B0
	VMOVDQU 16(SI), B1

next:
	LOAD(R10, X5, X6, X7, X8)
	LOAD(R11, X9, X10, X11, X12)
	ROUNDS(A0, A1, X5, 0)
	ROUNDS(B0, B1, X9, 0)
	ROUNDS(A0, A1, X6, 1)
	ROUNDS(B0, B1, X10, 1)
	ROUNDS(A0, A1, X7, 2)
	ROUNDS(B0, B1, X11, 2)
	ROUNDS(A0, A1, X8, 3)
	ROUNDS(B0, B1, X12, 3)
	BOTH16TO63
	VPADDD (DI), A0, A0
	VPADDD 16(DI), A1, A1
	VPADDD (SI), B0, B0
	VPADDD 16(SI), B1, B1
	VMOVDQU A0, (DI)
	VMOVDQU A1, 16(DI)
	VMOVDQU B0, (SI)
	VMOVDQU B1, 16(SI)
	ADDQ $64, R10
	ADDQ $64, R11
	DECQ CX
	JNZ next
	RET

// func hash(a *[8]uint32, p *byte, n int)
TEXT ·hash(SB), NOSPLIT, $0-24
	MOVQ a+0(FP), DI
	MOVQ p+8(FP), R10
	MOVQ n+16(FP), CX
	TABLES
	VMOVDQU (DI), A0
	VMOVDQU 16(DI), A1

next:
	LOAD(R10, X5, X6, X7, X8)
	ROUNDS(A0, A1, X5, 0)
	ROUNDS(A0, A1, X6, 1)
	ROUNDS(A0, A1, X7, 2)
	ROUNDS(A0, A1, X8, 3)
	ONE16TO63
	VPADDD (DI), A0, A0
	VPADDD 16(DI), A1, A1
	VMOVDQU A0, (DI)
	VMOVDQU A1, 16(DI)
	ADDQ $64, R10
	DECQ CX
	JNZ next
	RET

// func cpuid(leaf uint32) (last, ebx uint32)
//
// The highest leaf there is, and EBX of one of them, subleaf 0.
TEXT ·cpuid(SB), NOSPLIT, $0-16
	XORL AX, AX
	XORL CX, CX
	CPUID
	MOVL AX, last+8(FP)
	MOVL leaf+0(FP), AX
	XORL CX, CX
	CPUID
	MOVL BX, ebx+12(FP)
	RET
