//! Interrupt in, main loop out.

use core::cell::RefCell;
use core::mem::MaybeUninit;
use core::panic::PanicInfo;
use core::str::Lines;

use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::{Peripherals, singleton};
use cortex_m_rt::{entry, exception};
use cortex_m_semihosting::{debug, hprintln};
use critical_section::Mutex;
use embedded_alloc::LlffHeap;
use heapless::spsc::{Producer, Queue};

use crate::sensor::{Sensor, TRACE, count};

/// For the computation of the taps at start-up only.
#[global_allocator]
static HEAP: LlffHeap = LlffHeap::empty();
const HEAP_BYTES: usize = 4096;

/// A reading, and how many before it found the queue full.
struct Reading {
    count: u16,
    lost: u16,
}

/// Readings that may wait while the main loop is busy.
type Waiting = Queue<Reading, 32>;

/// What the interrupt owns: the converter, here the recording, and its end of the queue.
struct Input {
    converter: Lines<'static>,
    readings: Producer<'static, Reading>,
    lost: u16,
}

static INPUT: Mutex<RefCell<Option<Input>>> = Mutex::new(RefCell::new(None));
/// Clock ticks between readings: the emulated board runs at 25 MHz, so this is a kilohertz.
const TICKS: u32 = 25_000;

#[entry]
fn main() -> ! {
    let heap = singleton!(: [MaybeUninit<u8>; HEAP_BYTES] = [MaybeUninit::uninit(); HEAP_BYTES]).expect("called once");
    // SAFETY: called once, before any use, with memory that nothing else has.
    unsafe { HEAP.init(heap.as_mut_ptr() as usize, HEAP_BYTES) }
    let mut sensor = Sensor::new().expect("the taps exist");

    let waiting: &'static mut Waiting = singleton!(: Waiting = Queue::new()).expect("called once");
    let (readings, mut arrived) = waiting.split();
    let input = Input { converter: TRACE.lines(), readings, lost: 0 };
    critical_section::with(|cs| INPUT.borrow_ref_mut(cs).replace(input));

    let mut timer = Peripherals::take().expect("taken once").SYST;
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(TICKS - 1);
    timer.clear_current();
    timer.enable_interrupt();
    timer.enable_counter();

    let mut left = TRACE.lines().count();
    while left > 0 {
        while let Some(Reading { count, lost }) = arrived.dequeue() {
            if lost > 0 {
                sensor.skip(lost);
            }
            if let Some(heating) = sensor.push(count) {
                hprintln!("{}", heating);
            }
            left = left.saturating_sub(1 + usize::from(lost));
        }
        cortex_m::asm::wfi();
    }
    debug::exit(debug::EXIT_SUCCESS);
    halt()
}

/// Take the converter's reading and leave: filtering and printing are the main loop's.
#[exception]
fn SysTick() {
    critical_section::with(|cs| {
        let mut input = INPUT.borrow_ref_mut(cs);
        let Some(Input { converter, readings, lost }) = input.as_mut() else { return };
        let Some(count) = converter.next().map(count) else { return };
        match readings.enqueue(Reading { count, lost: *lost }) {
            Ok(()) => *lost = 0,
            Err(_) => *lost = lost.saturating_add(1),
        }
    });
}

fn halt() -> ! {
    loop {
        cortex_m::asm::wfi();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    debug::exit(debug::EXIT_FAILURE);
    halt()
}
