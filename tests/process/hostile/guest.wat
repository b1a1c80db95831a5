;; A guest of the sieges: what the engine's own hostile guest leaves out. Takes one input `x` (FP64 [-1]), gives it back as
;; `y`, and does on the way what x[0] says, x[1] being how much. See the sieges for the numbers.
(module
  (import "foretell:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))
  (memory (export "memory") PAGES)
  (global $heap (mut i32) (i32.const HEAP))
  (global $calls (mut i32) (i32.const 0))
  (global $secret (mut i64) (i64.const 0))
  (data (i32.const 640) "on purpose\1b[31m\n{\"level\":\"ERROR\",\"message\":\"forged\"}")
  (data (i32.const SIGNATURES) "IMAGE")
  ;;EXTRA

  (func $alloc (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and
      (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (block $fits
      (br_if $fits (i32.le_u (global.get $heap) (i32.shl (memory.size) (i32.const 16))))
      (br_if $fits (i32.ne (i32.const -1) (memory.grow (i32.add (i32.const 1)
        (i32.shr_u (i32.sub (global.get $heap) (i32.shl (memory.size) (i32.const 16))) (i32.const 16))))))
      (unreachable))
    (local.get $at))

  (func (export "foretell:plugin/inference@0.1.0#load") (param i32 i32 i32 i32) (result i32) (i32.const 64))
  (func (export "foretell:plugin/inference@0.1.0#describe") (result i32) (i32.const HONEST))

  ;; Words that are not zero, from `at` to the end of the memory.
  (func $written (param $at i32) (result i32)
    (local $end i32) (local $found i32)
    (local.set $end (i32.shl (memory.size) (i32.const 16)))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
      (if (i64.ne (i64.load (local.get $at)) (i64.const 0))
        (then (local.set $found (i32.add (local.get $found) (i32.const 1)))))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br $next)))
    (local.get $found))

  (func (export "foretell:plugin/inference@0.1.0#predict") (param $inputs i32) (param $count i32) (result i32)
    (local $data i32) (local $do i32) (local $i i32) (local $mixed i64)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    ;;FIRST
    (local.set $data (i32.load offset=12 (local.get $inputs)))
    (local.set $do (i32.trunc_sat_f64_s (f64.load (local.get $data))))
    (if (i32.gt_u (i32.load offset=16 (local.get $inputs)) (i32.const 1))
      (then (local.set $i (i32.mul (i32.const 1000) (i32.trunc_sat_f64_s (f64.load offset=8 (local.get $data)))))))

    ;; 1: works for so many thousand rounds
    (if (i32.eq (local.get $do) (i32.const 1)) (then
      (block $done (loop $again
        (br_if $done (i32.le_s (local.get $i) (i32.const 0)))
        (local.set $mixed (i64.add (i64.mul (local.get $mixed) (i64.const 6364136223846793005)) (i64.const 1)))
        (local.set $i (i32.sub (local.get $i) (i32.const 1)))
        (br $again)))
      (i64.store (i32.const 512) (local.get $mixed))))
    ;; 2: how often this instance was called
    (if (i32.eq (local.get $do) (i32.const 2)) (then
      (f64.store (local.get $data) (f64.convert_i32_u (global.get $calls)))))
    ;; 3: recurses in frames of a kilobyte each
    (if (i32.eq (local.get $do) (i32.const 3)) (then (i64.store (i32.const 512) (call $wide (i32.const 0)))))
    ;; 4: one log line of a mebibyte, all line breaks
    (if (i32.eq (local.get $do) (i32.const 4)) (then
      (local.set $i (i32.shl (memory.grow (i32.const 16)) (i32.const 16)))
      (memory.fill (local.get $i) (i32.const 10) (i32.const 0x100000))
      (call $log (i32.const 3) (local.get $i) (i32.const 0x100000))))
    ;; 5: so many thousand log lines that forge others
    (if (i32.eq (local.get $do) (i32.const 5)) (then
      (block $done (loop $again
        (br_if $done (i32.le_s (local.get $i) (i32.const 0)))
        (call $log (i32.const 1) (i32.const 640) (i32.const 53))
        (local.set $i (i32.sub (local.get $i) (i32.const 1)))
        (br $again)))))
    ;; 6: leaves a secret in a mebibyte of memory, in a global and below the heap
    (if (i32.eq (local.get $do) (i32.const 6)) (then
      (memory.fill (i32.shl (memory.grow (i32.const 16)) (i32.const 16)) (i32.const 0xa5) (i32.const 0x100000))
      (i64.store (i32.const 512) (i64.const 0x5ec2e7))
      (global.set $secret (i64.const 0x5ec2e7))))
    ;; 7: looks for one: words in the memory that nobody has written to in this call, before and after it has grown
    (if (i32.eq (local.get $do) (i32.const 7)) (then
      (local.set $i (call $written (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8))))
      (local.set $i (i32.add (local.get $i) (call $written (i32.shl (memory.grow (i32.const 32)) (i32.const 16)))))
      (local.set $i (i32.add (local.get $i) (i64.ne (i64.load (i32.const 512)) (i64.const 0))))
      (local.set $i (i32.add (local.get $i) (i64.ne (global.get $secret) (i64.const 0))))
      (f64.store (local.get $data) (f64.convert_i32_u (local.get $i)))))
    ;; 8: fills as much memory as it gets, in operations of all of it, for ever
    (if (i32.eq (local.get $do) (i32.const 8)) (then
      (drop (memory.grow (i32.const 1900)))
      (loop $forever
        (memory.fill (i32.const 65536) (i32.const 1) (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 65536)))
        (br $forever))))

    (i32.store8 (i32.const 64) (i32.const 0))
    (i32.store (i32.const 68) (local.get $inputs))
    (i32.store (i32.const 72) (local.get $count))
    (i32.const 64))

  (func (export "cabi_post_foretell:plugin/inference@0.1.0#predict") (param i32)
    (global.set $heap (i32.const HEAP))))
