//go:build !purego

#include "go_asm.h"
#include "textflag.h"
#include "sha_amd64.h"

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

// SECOND makes the second block of a message of two, which has DX bytes at AX (see inTwo).
// R11 points to 192 bytes, of which the middle 64 become the block. The last 64 bytes of
// the message are copied to where those after the first block begin the middle, then 64
// zeros behind them: what of both is not in the middle does not matter. It uses X9 to X12.
#define SECOND \
	VMOVDQU -64(AX)(DX*1), X9   \
	VMOVDQU -48(AX)(DX*1), X10  \
	VMOVDQU -32(AX)(DX*1), X11  \
	VMOVDQU -16(AX)(DX*1), X12  \
	VMOVDQU X9, -64(R11)(DX*1)  \
	VMOVDQU X10, -48(R11)(DX*1) \
	VMOVDQU X11, -32(R11)(DX*1) \
	VMOVDQU X12, -16(R11)(DX*1) \
	VPXOR X9, X9, X9            \
	VMOVDQU X9, 0(R11)(DX*1)    \
	VMOVDQU X9, 16(R11)(DX*1)   \
	VMOVDQU X9, 32(R11)(DX*1)   \
	VMOVDQU X9, 48(R11)(DX*1)   \
	MOVB $0x80, (R11)(DX*1)     \
	SHLQ $3, DX                 \
	BSWAPQ DX                   \
	MOVQ DX, 120(R11) // the length in bits

// func extendAndHash(value, sum *[32]byte, messages *[]byte, jobs *job, sums *[32]byte, n int, near *place)
//
// Lane A extends value with sum while lane B ends the hash of the first message,
// then with that hash while lane B ends the second, and so on.
TEXT ·extendAndHash(SB), NOSPLIT, $192-56
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
	MOVQ (BX), AX
	MOVQ 8(BX), DX // its length
	PREFETCHT0 AHEAD(AX)
	PREFETCHT0 AHEAD+64(AX)
	PREFETCHT0 AHEAD+128(AX)
	LEAQ -64(DX), R10
	CMPQ R10, $const_ending
	JHI job
	LEAQ buffer-192(SP), R11
	SECOND
	MOVQ AX, R10      // the last block but one
	ADDQ $64, R11     // the last block
	LEAQ ·initial(SB), R12

begin: // with the state at R12
	VMOVDQU (R12), B0
	VMOVDQU 16(R12), B1
	LOAD(R10, X9, X10, X11, X12)
	ROUNDS(B0, B1, X9, 0)
	ROUNDS(B0, B1, X10, 1)
	ROUNDS(A0, A1, X7, 2)
	ROUNDS(B0, B1, X11, 2)
	ROUNDS(A0, A1, X8, 3)
	ROUNDS(B0, B1, X12, 3)
	BOTH16TO63
	MIDDLE
	VPADDD (R12), B0, B0
	VPADDD 16(R12), B1, B1
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

job: // of a message that is not in two blocks
	MOVQ job_first(SI), R10
	MOVQ job_second(SI), R11
	LEAQ job_buffer(SI)(R11*1), R11 // the last block
	LEAQ job_buffer+64(SI), R12
	TESTQ R10, R10
	LEAQ (AX)(R10*1), R10           // the last block but one
	CMOVQLT R12, R10
	LEAQ job_state(SI), R12
	JMP begin

single: // what lane B has done was for nothing
	VMOVDQU (R12), B0
	VMOVDQU 16(R12), B1
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

// func sumOf(a *[8]uint32, sum *[32]byte)
TEXT ·sumOf(SB), NOSPLIT, $0-16
	MOVQ a+0(FP), DI
	MOVQ sum+8(FP), SI
	TABLES
	VMOVDQU (DI), A0
	VMOVDQU 16(DI), A1
	WORDS(A0, A1, X5, X6)
	SAVESUM(X5, X6, SI, X5, X6)
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
