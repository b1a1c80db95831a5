;; A guest written by hand against the canonical ABI, so that it can break it on purpose.
;;
;; Memory: 0..1024 scratch (64 result, 128 tensors, 192 shape, 512 what `remember` keeps, 640 texts), then the described
;; signatures, then the heap, which only grows until a prediction ends.
(module
  ;;LOG (import "foretell:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))
  (memory (export "memory") PAGES)
  (global $heap (mut i32) (i32.const HEAP))
  (global $calls (mut i32) (i32.const 0))
  (global $mood (mut i32) (i32.const 0))
  (global $loop_afterwards (mut i32) (i32.const 0))

  (data (i32.const 640) "\ff\fe\fdon purpose\1b[31m\nforged line")
  (data (i32.const SIGNATURES) "IMAGE")

  (func $alloc (param $align i32) (param $size i32) (result i32)
    (local $at i32) (local $end i32)
    (local.set $at (i32.and
      (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (local.set $end (i32.add (local.get $at) (local.get $size)))
    (block $fits
      (br_if $fits (i32.le_u (local.get $end) (i32.shl (memory.size) (i32.const 16))))
      (br_if $fits (i32.ne (i32.const -1) (memory.grow (i32.add (i32.const 1)
        (i32.shr_u (i32.sub (local.get $end) (i32.shl (memory.size) (i32.const 16))) (i32.const 16))))))
      (unreachable))
    (global.set $heap (local.get $end))
    (local.get $at))

  ;; Misbehaves for inputs of 21 and 22 elements: that is when the host is still lowering them.
  (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (if (i32.eq (local.get $size) (i32.const 168)) (then (loop $forever (br $forever))))
    (if (i32.eq (local.get $size) (i32.const 176)) (then (return (i32.const -8))))
    (call $alloc (local.get $align) (local.get $size)))

  (func $recurse (param $depth i32) (result i32)
    (i32.add (i32.const 1) (call $recurse (i32.add (local.get $depth) (i32.const 1)))))

  ;; 1 loop, 2 trap, 3 grow, 4 recurse: the same in `load` and in `predict`.
  (func $misbehave (param $how i32)
    (if (i32.eq (local.get $how) (i32.const 1)) (then (loop $forever (br $forever))))
    (if (i32.eq (local.get $how) (i32.const 2)) (then (unreachable)))
    (if (i32.eq (local.get $how) (i32.const 3)) (then
      (loop $more (br_if $more (i32.ne (i32.const -1) (memory.grow (i32.const 16)))))
      (unreachable)))
    (if (i32.eq (local.get $how) (i32.const 4)) (then (drop (call $recurse (i32.const 0))))))

  ;;START (func $start (loop $forever (br $forever)))
  ;;START (start $start)

  (func (export "foretell:plugin/inference@0.1.0#load")
    (param $artifact i32) (param $length i32) (param $settings i32) (param $count i32) (result i32)
    (if (local.get $length) (then (global.set $mood (i32.load8_u (local.get $artifact)))))
    (call $misbehave (global.get $mood))
    (i32.store8 (i32.const 64) (i32.const 0))
    ;; 19: the artifact is bad. 20: it fails.
    (if (i32.eq (global.get $mood) (i32.const 19)) (then
      (i32.store8 (i32.const 64) (i32.const 1)) (i32.store8 (i32.const 68) (i32.const 0))))
    (if (i32.eq (global.get $mood) (i32.const 20)) (then
      (i32.store8 (i32.const 64) (i32.const 1)) (i32.store8 (i32.const 68) (i32.const 2))))
    (i32.store (i32.const 72) (i32.const 643)) (i32.store (i32.const 76) (i32.const 10))
    ;; 33: it says why, then traps.
    (if (i32.eq (global.get $mood) (i32.const 33)) (then
      ;;LOG (call $log (i32.const 0) (i32.const 643) (i32.const 10))
      (unreachable)))
    ;; A setting `bad` is refused by its name.
    (if (local.get $count) (then
      (if (i32.eq (i32.load16_u (i32.load (local.get $settings))) (i32.const 0x6162)) (then
        (i32.store8 (i32.const 64) (i32.const 1)) (i32.store8 (i32.const 68) (i32.const 1))
        (i32.store (i32.const 72) (i32.load (local.get $settings)))
        (i32.store (i32.const 76) (i32.load offset=4 (local.get $settings)))
        (i32.store (i32.const 80) (i32.const 643)) (i32.store (i32.const 84) (i32.const 10))))))
    (i32.const 64))

  ;; 30 traps, 31 describes what is invalid, 32 gives an example that does not hold.
  (func (export "foretell:plugin/inference@0.1.0#describe") (result i32)
    (if (i32.eq (global.get $mood) (i32.const 30)) (then (unreachable)))
    (if (i32.eq (global.get $mood) (i32.const 31)) (then (return (i32.const INVALID))))
    (if (i32.eq (global.get $mood) (i32.const 32)) (then (return (i32.const UNTRUE))))
    (i32.const HONEST))

  (func $answer (param $outputs i32) (param $count i32) (result i32)
    (i32.store8 (i32.const 64) (i32.const 0))
    (i32.store (i32.const 68) (local.get $outputs))
    (i32.store (i32.const 72) (local.get $count))
    (i32.const 64))

  (func $fail (param $text i32) (param $length i32) (result i32)
    (i32.store8 (i32.const 64) (i32.const 1))
    (i32.store8 (i32.const 68) (i32.const 1))
    (i32.store (i32.const 72) (local.get $text))
    (i32.store (i32.const 76) (local.get $length))
    (i32.const 64))

  ;; Each level calls the host, so that some call comes at the very edge of the stack.
  (func $chatter (param $depth i32) (result i32)
    ;;LOG (call $log (i32.const 3) (i32.const 643) (i32.const 10))
    (i32.add (i32.const 1) (call $chatter (i32.add (local.get $depth) (i32.const 1)))))

  (func (export "foretell:plugin/inference@0.1.0#predict") (param $inputs i32) (param $count i32) (result i32)
    (local $data i32) (local $length i32) (local $do i32) (local $i i32) (local $more f64)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (local.set $data (i32.load offset=12 (local.get $inputs)))
    (local.set $length (i32.load offset=16 (local.get $inputs)))
    (local.set $do (i32.trunc_sat_f64_s (f64.load (local.get $data))))
    (if (i32.gt_u (local.get $length) (i32.const 1))
      (then (local.set $more (f64.load offset=8 (local.get $data)))))
    (call $misbehave (local.get $do))

    ;; too few, too many outputs
    (if (i32.eq (local.get $do) (i32.const 5)) (then (return (call $answer (local.get $inputs) (i32.const 0)))))
    (if (i32.eq (local.get $do) (i32.const 6)) (then
      (memory.copy (i32.const 128) (local.get $inputs) (i32.const 28))
      (memory.copy (i32.const 156) (local.get $inputs) (i32.const 28))
      (return (call $answer (i32.const 128) (i32.const 2)))))
    ;; another rank: [n, 1]
    (if (i32.eq (local.get $do) (i32.const 7)) (then
      (i32.store (i32.const 192) (local.get $length))
      (i32.store (i32.const 196) (i32.const 1))
      (i32.store (local.get $inputs) (i32.const 192))
      (i32.store offset=4 (local.get $inputs) (i32.const 2))))
    ;; another datatype: FP32
    (if (i32.eq (local.get $do) (i32.const 8)) (then (i32.store8 offset=8 (local.get $inputs) (i32.const 11))))
    ;; fewer elements than the shape says
    (if (i32.eq (local.get $do) (i32.const 9)) (then (i32.store offset=16 (local.get $inputs) (i32.const 0))))
    ;; a list far outside, a list of 2^32 - 1 elements
    (if (i32.eq (local.get $do) (i32.const 10)) (then (return (call $answer (i32.const -16) (i32.const 1)))))
    (if (i32.eq (local.get $do) (i32.const 11)) (then (i32.store offset=16 (local.get $inputs) (i32.const -1))))
    ;; what is no UTF-8
    (if (i32.eq (local.get $do) (i32.const 12)) (then (return (call $fail (i32.const 640) (i32.const 13)))))
    ;; a datatype that is none, a pointer that is not aligned
    (if (i32.eq (local.get $do) (i32.const 13)) (then (i32.store8 offset=8 (local.get $inputs) (i32.const 200))))
    (if (i32.eq (local.get $do) (i32.const 14)) (then
      (i32.store offset=12 (local.get $inputs) (i32.add (local.get $data) (i32.const 1)))))
    ;; a NaN that is not the canonical one
    (if (i32.eq (local.get $do) (i32.const 15)) (then
      (i64.store (local.get $data) (i64.const 0xfff8000000000bad))))
    ;; one bulk operation after another
    (if (i32.eq (local.get $do) (i32.const 16)) (then
      (drop (memory.grow (i32.const 512)))
      (loop $forever
        (memory.fill (i32.const 65536) (i32.const 1) (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 65536)))
        (br $forever))))
    ;; a thousand log lines with a forged one in each
    (if (i32.eq (local.get $do) (i32.const 17)) (then
      (loop $again
        ;;LOG (call $log (i32.const 1) (i32.const 643) (i32.const 27))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $i) (i32.const 1000))))))
    ;; how often this instance was called
    (if (i32.eq (local.get $do) (i32.const 18)) (then
      (f64.store (local.get $data) (f64.convert_i32_u (global.get $calls)))))
    ;; bad input, in row 0
    (if (i32.eq (local.get $do) (i32.const 19)) (then
      (i32.store8 (i32.const 64) (i32.const 1))
      (i32.store8 (i32.const 68) (i32.const 0))
      (i32.store (i32.const 72) (i32.const 0))
      (i32.store8 (i32.const 76) (i32.const 1)) (i32.store (i32.const 80) (i32.const 0))
      (i32.store8 (i32.const 84) (i32.const 0))
      (i32.store (i32.const 92) (i32.const 643)) (i32.store (i32.const 96) (i32.const 10))
      (return (i32.const 64))))
    (if (i32.eq (local.get $do) (i32.const 20)) (then (return (call $fail (i32.const 643) (i32.const 10)))))
    (if (i32.eq (local.get $do) (i32.const 21)) (then (global.set $loop_afterwards (i32.const 1))))
    ;; asks for more memory than there is, and goes on without
    (if (i32.eq (local.get $do) (i32.const 22)) (then (drop (memory.grow (i32.const 65000)))))
    ;; busy for so many thousand rounds
    (if (i32.eq (local.get $do) (i32.const 23)) (then
      (local.set $i (i32.mul (i32.const 1000) (i32.trunc_sat_f64_s (local.get $more))))
      (block $done (loop $again
        (br_if $done (i32.le_s (local.get $i) (i32.const 0)))
        (local.set $i (i32.sub (local.get $i) (i32.const 1)))
        (br $again)))))
    ;; remembers, and tells what is remembered
    (if (i32.eq (local.get $do) (i32.const 24)) (then (f64.store (i32.const 512) (local.get $more))))
    (if (i32.eq (local.get $do) (i32.const 25)) (then (f64.store (local.get $data) (f64.load (i32.const 512)))))
    ;; an error text far outside, a result that is neither ok nor error
    (if (i32.eq (local.get $do) (i32.const 26)) (then (return (call $fail (i32.const -16) (i32.const 100)))))
    (if (i32.eq (local.get $do) (i32.const 27)) (then
      (drop (call $answer (local.get $inputs) (i32.const 1)))
      (i32.store8 (i32.const 64) (i32.const 7))
      (return (i32.const 64))))
    (if (i32.eq (local.get $do) (i32.const 28)) (then (drop (call $chatter (i32.const 0)))))
    ;; reads so many pages of 4 KiB
    (if (i32.eq (local.get $do) (i32.const 29)) (then
      (local.set $i (i32.trunc_sat_f64_s (local.get $more)))
      (block $done (loop $again
        (br_if $done (i32.le_s (local.get $i) (i32.const 0)))
        (local.set $i (i32.sub (local.get $i) (i32.const 1)))
        (drop (i32.load8_u (i32.mul (local.get $i) (i32.const 4096))))
        (br $again)))))
    ;; a result pointer far outside
    (if (i32.eq (local.get $do) (i32.const 35)) (then (return (i32.const -64))))
    (call $answer (local.get $inputs) (i32.const 1)))

  (func (export "cabi_post_foretell:plugin/inference@0.1.0#predict") (param i32)
    (if (global.get $loop_afterwards) (then (loop $forever (br $forever))))
    (global.set $heap (i32.const HEAP))))
