//go:build !purego

#include "go_asm.h"
#include "textflag.h"
#include "sha_amd64.h"

// Sixteen lanes of SHA-256 in the words of AVX-512 registers: word l of each is lane
// l's. Beside them runs the chain in X0 to X15 (see sha_amd64.h), so these are Z16 to Z31,
// whose use does not make the instructions of SSE slow.
//
//	R10: sixteen
//	R11: W, sixteen words of the schedule, 64 bytes each, at a multiple of 64
//	R12: k of the round at hand
#define ZA Z16
#define ZB Z17
#define ZC Z18
#define ZD Z19
#define ZE Z20
#define ZF Z21
#define ZG Z22
#define ZH Z23

// ROUND is round i of sixteen (FIPS 180-4, section 6.2.2, step 3). The new A and E are
// left in h and d.
#define ROUND(a, b, c, d, e, f, g, h, i) \
	VPADDD (64*i)(R11), h, h \
	VPRORD $6, e, Z24 \
	VPRORD $11, e, Z25 \
	VPRORD $25, e, Z26 \
	VMOVDQA64 e, Z27 \
	VPADDD.BCST (4*i)(R12), h, h \
	VPTERNLOGD $0x96, Z26, Z25, Z24 \ // three, exclusive or: Sigma 1
	VPTERNLOGD $0xca, g, f, Z27 \     // e ? f : g: Ch
	VPADDD Z24, h, h \
	VPADDD Z27, h, h \
	VPRORD $2, a, Z28 \
	VPRORD $13, a, Z29 \
	VPRORD $22, a, Z30 \
	VMOVDQA64 a, Z31 \
	VPADDD h, d, d \
	VPTERNLOGD $0x96, Z30, Z29, Z28 \ // Sigma 0
	VPTERNLOGD $0xe8, c, b, Z31 \     // two of three: Maj
	VPADDD Z28, h, h \
	VPADDD Z31, h, h

// SCHEDULE makes of word t, i of sixteen, word t+16 (step 1).
#define SCHEDULE(i) \
	VPRORD $7, (64*((i+1)&15))(R11), Z24 \
	VPRORD $18, (64*((i+1)&15))(R11), Z25 \
	VPSRLD $3, (64*((i+1)&15))(R11), Z26 \
	VPRORD $17, (64*((i+14)&15))(R11), Z28 \
	VPRORD $19, (64*((i+14)&15))(R11), Z29 \
	VPSRLD $10, (64*((i+14)&15))(R11), Z30 \
	VMOVDQA64 (64*i)(R11), Z27 \
	VPTERNLOGD $0x96, Z26, Z25, Z24 \ // sigma 0
	VPADDD (64*((i+9)&15))(R11), Z27, Z27 \
	VPTERNLOGD $0x96, Z30, Z29, Z28 \ // sigma 1
	VPADDD Z24, Z27, Z27 \
	VPADDD Z28, Z27, Z27 \
	VMOVDQA64 Z27, (64*i)(R11)

// ROUNDSCHEDULE is a ROUND and what it makes room for.
#define ROUNDSCHEDULE(a, b, c, d, e, f, g, h, i) \
	ROUND(a, b, c, d, e, f, g, h, i) \
	SCHEDULE(i)

// LANE reads block i of lane l: the bytes that are left of its message, and what it ends
// with. Behind its end nothing is read.
#define LANE(l, z) \
	MOVQ (8*l)(R14), AX \
	MOVL (sixteen_left+4*l)(R10), BX \
	MOVL (sixteen_ending+4*l)(R10), DX \
	BZHIQ BX, R13, BX \
	KMOVQ BX, K1 \
	SHLQ $6, DX \
	VMOVDQU8.Z (AX)(CX*1), K1, z \
	VPORQ (R12)(DX*1), z, z

// TURN turns each four words of four lanes: a to d have in part i of four the words 4i,
// 4i+1, 4i+2, 4i+3 of all.
#define TURN(a, b, c, d) \
	VPUNPCKLDQ b, a, Z24 \
	VPUNPCKHDQ b, a, Z25 \
	VPUNPCKLDQ d, c, Z26 \
	VPUNPCKHDQ d, c, Z27 \
	VPUNPCKLQDQ Z26, Z24, a \
	VPUNPCKHQDQ Z26, Z24, b \
	VPUNPCKLQDQ Z27, Z25, c \
	VPUNPCKHQDQ Z27, Z25, d

// UPPER keeps the parts of the lanes 8 to 15 that have the words w, w+4, w+8, w+12.
#define UPPER(w, a, b) \
	VSHUFI32X4 $0x44, b, a, Z24 \ // a0 a1 b0 b1
	VSHUFI32X4 $0xee, b, a, Z25 \ // a2 a3 b2 b3
	VMOVDQA64 Z24, (1024+128*w)(R11) \
	VMOVDQA64 Z25, (1024+128*w+64)(R11)

// LOWER puts those of the lanes 0 to 7 before them, and has the words.
#define LOWER(w, a, b) \
	VSHUFI32X4 $0x44, b, a, Z24 \
	VSHUFI32X4 $0xee, b, a, Z25 \
	VSHUFI32X4 $0x88, (1024+128*w)(R11), Z24, Z26 \ // a0 b0 and, of the upper lanes, a0 b0
	VSHUFI32X4 $0xdd, (1024+128*w)(R11), Z24, Z27 \
	VSHUFI32X4 $0x88, (1024+128*w+64)(R11), Z25, Z28 \
	VSHUFI32X4 $0xdd, (1024+128*w+64)(R11), Z25, Z29 \
	VPSHUFB Z31, Z26, Z26 \
	VPSHUFB Z31, Z27, Z27 \
	VPSHUFB Z31, Z28, Z28 \
	VPSHUFB Z31, Z29, Z29 \
	VMOVDQA64 Z26, (64*(w+0))(R11) \
	VMOVDQA64 Z27, (64*(w+4))(R11) \
	VMOVDQA64 Z28, (64*(w+8))(R11) \
	VMOVDQA64 Z29, (64*(w+12))(R11)

// ENDS finds what is read of each lane.
//
// What is left of a message of n bytes is n-64i. Of the bytes that are read, none is a
// number of 0 or less, and all is one of 64 or more. There is an ending for 0 to 63, and
// the one for all others is none. The last block ends with the length in bits.
#define ENDS \
	MOVQ sixteen_sizes(R10), AX \
	VMOVDQU32 (AX), Z16 \
	VPBROADCASTD sixteen_block(R10), Z17 \
	VPSLLD $6, Z17, Z18 \
	VPSUBD Z18, Z16, Z18 \
	VPXORD Z19, Z19, Z19 \
	VPMAXSD Z19, Z18, Z20 \
	VPMINUD.BCST ·most(SB), Z20, Z20 \
	VMOVDQU32 Z20, sixteen_left(R10) \
	VPMINUD.BCST ·most(SB), Z18, Z20 \
	VMOVDQU32 Z20, sixteen_ending(R10) \
	VPADDD.BCST ·eight(SB), Z16, Z20 \
	VPSRLD $6, Z20, Z20 \ // the last block
	VPCMPEQD Z17, Z20, K2 \
	VPSLLD.Z $3, Z16, K2, Z30 \ // its word 15
	VPCMPUD $5, Z17, Z20, K2 \ // not less
	KMOVW sixteen_used(R10), K1 \
	KANDW K1, K2, K2 \
	KMOVW K2, sixteen_busy(R10) \
	MOVQ $-1, R13 \
	MOVQ sixteen_messages(R10), R14 \
	MOVLQZX sixteen_block(R10), CX \
	SHLQ $6, CX \
	LEAQ ·endings(SB), R12 \
	VBROADCASTI32X4 ·flip(SB), Z31

// BLOCKS reads the block of each lane and makes the first sixteen words of the
// schedules. Meanwhile the chain takes its steps: OPENS, FOURS, STEPS, MIDDLES, PADS and
// CLOSES are an extend with the sum at SI, or nothing.
#define BLOCKS(OPENS, FOURS, STEPS, MIDDLES, PADS, CLOSES) \
	OPENS \
	ENDS \
	LANE(8, Z16) \
	FOURS(X7, 2) \
	LANE(9, Z17) \
	FOURS(X8, 3) \
	LANE(10, Z18) \
	STEPS(4, X5, X6, X7, X8) \
	LANE(11, Z19) \
	STEPS(5, X6, X7, X8, X5) \
	TURN(Z16, Z17, Z18, Z19) \
	STEPS(6, X7, X8, X5, X6) \
	LANE(12, Z20) \
	STEPS(7, X8, X5, X6, X7) \
	LANE(13, Z21) \
	STEPS(8, X5, X6, X7, X8) \
	LANE(14, Z22) \
	STEPS(9, X6, X7, X8, X5) \
	LANE(15, Z23) \
	STEPS(10, X7, X8, X5, X6) \
	TURN(Z20, Z21, Z22, Z23) \
	STEPS(11, X8, X5, X6, X7) \
	UPPER(0, Z16, Z20) \
	UPPER(1, Z17, Z21) \
	STEPS(12, X5, X6, X7, X8) \
	UPPER(2, Z18, Z22) \
	UPPER(3, Z19, Z23) \
	STEPS(13, X6, X7, X8, X5) \
	LANE(0, Z16) \
	STEPS(14, X7, X8, X5, X6) \
	LANE(1, Z17) \
	STEPS(15, X8, X5, X6, X7) \
	MIDDLES \
	LANE(2, Z18) \
	PADS(0) \
	PADS(1) \
	LANE(3, Z19) \
	PADS(2) \
	PADS(3) \
	TURN(Z16, Z17, Z18, Z19) \
	PADS(4) \
	LANE(4, Z20) \
	PADS(5) \
	LANE(5, Z21) \
	PADS(6) \
	LANE(6, Z22) \
	PADS(7) \
	LANE(7, Z23) \
	PADS(8) \
	TURN(Z20, Z21, Z22, Z23) \
	PADS(9) \
	PADS(10) \
	LOWER(0, Z16, Z20) \
	PADS(11) \
	LOWER(1, Z17, Z21) \
	PADS(12) \
	LOWER(2, Z18, Z22) \
	PADS(13) \
	LOWER(3, Z19, Z23) \
	PADS(14) \
	VPADDD Z30, Z29, Z29 \ // word 15 is zero where it is the length
	VMOVDQA64 Z29, (64*15)(R11) \
	PADS(15) \
	CLOSES

#define NOTHING
#define NOFOURS(w, i)
#define NOSTEPS(i, w0, w1, w2, w3)
#define NOPADS(i)

// OPENSUM and FOURSA are what BLOCKS takes for OPENS and FOURS.
#define OPENSUM \
	OPEN \
	LOADSUM(SI, X7, X8) \
	ADDQ $32, SI

#define FOURSA(w, i) ROUNDS(A0, A1, w, i)

// STATES reads the states at AX.
#define STATES \
	VMOVDQU64 0(AX), ZA \
	VMOVDQU64 64(AX), ZB \
	VMOVDQU64 128(AX), ZC \
	VMOVDQU64 192(AX), ZD \
	VMOVDQU64 256(AX), ZE \
	VMOVDQU64 320(AX), ZF \
	VMOVDQU64 384(AX), ZG \
	VMOVDQU64 448(AX), ZH

// ADD adds to the states of the lanes that have a block what it has made.
#define ADD \
	MOVQ sixteen_before(R10), AX \
	KMOVW sixteen_busy(R10), K1 \
	SUM(ZA, Z24, 0) \
	SUM(ZB, Z25, 64) \
	SUM(ZC, Z26, 128) \
	SUM(ZD, Z27, 192) \
	SUM(ZE, Z28, 256) \
	SUM(ZF, Z29, 320) \
	SUM(ZG, Z30, 384) \
	SUM(ZH, Z31, 448)

#define SUM(made, z, word) \
	VMOVDQU64 word(AX), z \
	VPADDD made, z, K1, z \
	VMOVDQU64 z, (sixteen_state+word)(R10)

// EIGHT is eight rounds, R is ROUND or ROUNDSCHEDULE, from round i of sixteen on. After
// them each word of the state is in its register again.
#define EIGHT(R, i) \
	R(ZA, ZB, ZC, ZD, ZE, ZF, ZG, ZH, (i+0)) \
	R(ZH, ZA, ZB, ZC, ZD, ZE, ZF, ZG, (i+1)) \
	R(ZG, ZH, ZA, ZB, ZC, ZD, ZE, ZF, (i+2)) \
	R(ZF, ZG, ZH, ZA, ZB, ZC, ZD, ZE, (i+3)) \
	R(ZE, ZF, ZG, ZH, ZA, ZB, ZC, ZD, (i+4)) \
	R(ZD, ZE, ZF, ZG, ZH, ZA, ZB, ZC, (i+5)) \
	R(ZC, ZD, ZE, ZF, ZG, ZH, ZA, ZB, (i+6)) \
	R(ZB, ZC, ZD, ZE, ZF, ZG, ZH, ZA, (i+7))

// STEP is ONE with an instruction less for two, which takes the chain a little longer
// and leaves the lanes more: W(t-7) to W(t-4) are added before SHA256MSG2, all at once.
#define STEP(i, w0, w1, w2, w3) \
	VPALIGNR $4, w2, w3, TA \
	SHA256MSG1 w1, w0       \
	VPADDD TA, w0, w0       \
	SHA256MSG2 w3, w0       \
	ROUNDS(A0, A1, w0, i)

// FETCH fetches an index entry, and the slots that another tells of, which was fetched in
// time before (see FETCHSLOTS). R13 is the index, R14 the slots, and BX where the
// number of the first is.
#define FETCH \
	MOVQ (BX), AX \
	MOVQ (-8*const_later)(BX), DX \
	PREFETCHT0 (R13)(AX*4) \
	MOVL (R13)(DX*4), DX \
	ADDQ $8, BX \
	SHLQ $5, DX \
	PREFETCHT0 (R14)(DX*1) \
	PREFETCHT0 64(R14)(DX*1)

// FETCHAHEAD fetches what lies behind a message, whose address is at DI (see AHEAD).
#define FETCHAHEAD \
	MOVQ (DI), AX \
	ADDQ $8, DI \
	PREFETCHT0 AHEAD(AX) \
	PREFETCHT0 AHEAD+64(AX) \
	PREFETCHT0 AHEAD+128(AX)

// BESIDE is eight rounds in the lanes, R is ROUND or ROUNDSCHEDULE, from round i of sixteen
// on, and the chain's extend with the sum at SI, in turn.
#define BESIDE(R, i) \
	OPENSUM \
	R(ZA, ZB, ZC, ZD, ZE, ZF, ZG, ZH, (i+0)) \
	ROUNDS(A0, A1, X7, 2) \
	ROUNDS(A0, A1, X8, 3) \
	STEP( 4, X5, X6, X7, X8) \
	STEP( 5, X6, X7, X8, X5) \
	R(ZH, ZA, ZB, ZC, ZD, ZE, ZF, ZG, (i+1)) \
	STEP( 6, X7, X8, X5, X6) \
	STEP( 7, X8, X5, X6, X7) \
	STEP( 8, X5, X6, X7, X8) \
	STEP( 9, X6, X7, X8, X5) \
	R(ZG, ZH, ZA, ZB, ZC, ZD, ZE, ZF, (i+2)) \
	STEP(10, X7, X8, X5, X6) \
	STEP(11, X8, X5, X6, X7) \
	STEP(12, X5, X6, X7, X8) \
	STEP(13, X6, X7, X8, X5) \
	R(ZF, ZG, ZH, ZA, ZB, ZC, ZD, ZE, (i+3)) \
	STEP(14, X7, X8, X5, X6) \
	STEP(15, X8, X5, X6, X7) \
	MIDDLE \
	PAD(0) \
	PAD(1) \
	R(ZE, ZF, ZG, ZH, ZA, ZB, ZC, ZD, (i+4)) \
	PAD(2) \
	PAD(3) \
	PAD(4) \
	PAD(5) \
	R(ZD, ZE, ZF, ZG, ZH, ZA, ZB, ZC, (i+5)) \
	PAD(6) \
	PAD(7) \
	PAD(8) \
	PAD(9) \
	R(ZC, ZD, ZE, ZF, ZG, ZH, ZA, ZB, (i+6)) \
	PAD(10) \
	PAD(11) \
	PAD(12) \
	PAD(13) \
	R(ZB, ZC, ZD, ZE, ZF, ZG, ZH, ZA, (i+7)) \
	PAD(14) \
	PAD(15) \
	CLOSE \
	FETCHAHEAD \
	FETCH

// LAST is the last sixteen rounds, and an extend.
#define LAST \
	OPENSUM \
	ROUND(ZA, ZB, ZC, ZD, ZE, ZF, ZG, ZH, 0) \
	ROUNDS(A0, A1, X7, 2) \
	ROUNDS(A0, A1, X8, 3) \
	ROUND(ZH, ZA, ZB, ZC, ZD, ZE, ZF, ZG, 1) \
	STEP( 4, X5, X6, X7, X8) \
	STEP( 5, X6, X7, X8, X5) \
	ROUND(ZG, ZH, ZA, ZB, ZC, ZD, ZE, ZF, 2) \
	STEP( 6, X7, X8, X5, X6) \
	STEP( 7, X8, X5, X6, X7) \
	ROUND(ZF, ZG, ZH, ZA, ZB, ZC, ZD, ZE, 3) \
	STEP( 8, X5, X6, X7, X8) \
	STEP( 9, X6, X7, X8, X5) \
	ROUND(ZE, ZF, ZG, ZH, ZA, ZB, ZC, ZD, 4) \
	STEP(10, X7, X8, X5, X6) \
	STEP(11, X8, X5, X6, X7) \
	ROUND(ZD, ZE, ZF, ZG, ZH, ZA, ZB, ZC, 5) \
	STEP(12, X5, X6, X7, X8) \
	STEP(13, X6, X7, X8, X5) \
	ROUND(ZC, ZD, ZE, ZF, ZG, ZH, ZA, ZB, 6) \
	STEP(14, X7, X8, X5, X6) \
	STEP(15, X8, X5, X6, X7) \
	ROUND(ZB, ZC, ZD, ZE, ZF, ZG, ZH, ZA, 7) \
	MIDDLE \
	PAD(0) \
	PAD(1) \
	ROUND(ZA, ZB, ZC, ZD, ZE, ZF, ZG, ZH, 8) \
	PAD(2) \
	PAD(3) \
	ROUND(ZH, ZA, ZB, ZC, ZD, ZE, ZF, ZG, 9) \
	PAD(4) \
	PAD(5) \
	ROUND(ZG, ZH, ZA, ZB, ZC, ZD, ZE, ZF, 10) \
	PAD(6) \
	PAD(7) \
	ROUND(ZF, ZG, ZH, ZA, ZB, ZC, ZD, ZE, 11) \
	PAD(8) \
	PAD(9) \
	ROUND(ZE, ZF, ZG, ZH, ZA, ZB, ZC, ZD, 12) \
	PAD(10) \
	PAD(11) \
	ROUND(ZD, ZE, ZF, ZG, ZH, ZA, ZB, ZC, 13) \
	PAD(12) \
	PAD(13) \
	ROUND(ZC, ZD, ZE, ZF, ZG, ZH, ZA, ZB, 14) \
	PAD(14) \
	PAD(15) \
	ROUND(ZB, ZC, ZD, ZE, ZF, ZG, ZH, ZA, 15) \
	CLOSE

// WHERE finds a multiple of 64 on the stack, with room for W and for what UPPER keeps.
#define WHERE \
	LEAQ w-1600(SP), R11 \
	ADDQ $63, R11 \
	ANDQ $-64, R11

// func hashLanes(l *sixteen)
TEXT ·hashLanes(SB), 0, $1600-8
	MOVQ l+0(FP), R10
	WHERE
	BLOCKS(NOTHING, NOFOURS, NOSTEPS, NOTHING, NOPADS, NOTHING)
	LEAQ ·k(SB), R12
	MOVQ sixteen_before(R10), AX
	STATES
	MOVQ $3, CX

next:
	EIGHT(ROUNDSCHEDULE, 0)
	EIGHT(ROUNDSCHEDULE, 8)
	ADDQ $64, R12
	DECQ CX
	JNZ next
	EIGHT(ROUND, 0)
	EIGHT(ROUND, 8)
	ADD
	RET

// func hashLanesBeside(l *sixteen, value, sums *[32]byte, near *place, numbers *uint64, ahead **byte)
TEXT ·hashLanesBeside(SB), 0, $1600-48
	MOVQ l+0(FP), R10
	MOVQ value+8(FP), DI
	MOVQ sums+16(FP), SI
	TABLES
	LOADSUM(DI, X5, X6)
	FIRST
	WHERE
	BLOCKS(OPENSUM, FOURSA, STEP, MIDDLE, PAD, CLOSE)
	LEAQ ·k(SB), R12
	MOVQ sixteen_before(R10), AX
	STATES
	MOVQ near+24(FP), AX
	MOVQ place_index(AX), R13
	MOVQ place_slots(AX), R14
	MOVQ numbers+32(FP), BX
	MOVQ ahead+40(FP), DI
	FETCHAHEAD
	FETCH
	MOVQ $3, CX

next:
	BESIDE(ROUNDSCHEDULE, 0)
	BESIDE(ROUNDSCHEDULE, 8)
	ADDQ $64, R12
	DECQ CX
	JNZ next
	LAST
	FETCHAHEAD
	FETCH
	ADD
	MOVQ value+8(FP), DI
	SAVESUM(X5, X6, DI, X5, X6)
	RET

// UNPACK turns four words of the states: a to d have in part i of four those of the lanes
// 4i, 4i+1, 4i+2, 4i+3.
#define UNPACK(a, b, c, d) \
	VPSHUFB Z31, a, a \
	VPSHUFB Z31, b, b \
	VPSHUFB Z31, c, c \
	VPSHUFB Z31, d, d \
	VPUNPCKLDQ b, a, Z24 \
	VPUNPCKHDQ b, a, Z25 \
	VPUNPCKLDQ d, c, Z26 \
	VPUNPCKHDQ d, c, Z27 \
	VPUNPCKLQDQ Z26, Z24, a \
	VPUNPCKHQDQ Z26, Z24, b \
	VPUNPCKLQDQ Z27, Z25, c \
	VPUNPCKHQDQ Z27, Z25, d

// SAVE writes the parts of z, whose first is x, into the hashes of the lanes l, l+4, l+8
// and l+12, at byte h.
#define SAVE(z, x, l, h) \
	VMOVDQU32 x, (32*(l+0)+h)(SI) \
	VEXTRACTI32X4 $1, z, (32*(l+4)+h)(SI) \
	VEXTRACTI32X4 $2, z, (32*(l+8)+h)(SI) \
	VEXTRACTI32X4 $3, z, (32*(l+12)+h)(SI)

// func sumLanes(l *sixteen, sums *[16][32]byte)
TEXT ·sumLanes(SB), NOSPLIT, $0-16
	MOVQ l+0(FP), R10
	MOVQ sums+8(FP), SI
	LEAQ sixteen_state(R10), AX
	STATES
	VBROADCASTI32X4 ·flip(SB), Z31
	UNPACK(ZA, ZB, ZC, ZD)
	UNPACK(ZE, ZF, ZG, ZH)
	SAVE(Z16, X16, 0, 0)
	SAVE(Z17, X17, 1, 0)
	SAVE(Z18, X18, 2, 0)
	SAVE(Z19, X19, 3, 0)
	SAVE(Z20, X20, 0, 16)
	SAVE(Z21, X21, 1, 16)
	SAVE(Z22, X22, 2, 16)
	SAVE(Z23, X23, 3, 16)
	RET

// func fetch(near *place, numbers *uint64, n int)
TEXT ·fetch(SB), NOSPLIT, $0-24
	MOVQ near+0(FP), AX
	MOVQ place_index(AX), R13
	MOVQ place_slots(AX), R14
	MOVQ numbers+8(FP), BX
	MOVQ n+16(FP), CX

next:
	FETCH
	DECQ CX
	JNZ next
	RET
