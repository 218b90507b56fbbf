//! A thermometer's readings become the heating that drove them, `u_t = a u + lambda`, one reading at a time.
//!
//! On a Cortex-M the timer's interrupt pushes readings into a queue and the main loop filters what it pops; the readings
//! are a recording ([`sensor::TRACE`]) that stands where a converter's result register would be read. On a PC the same
//! filter takes the same recording and prints the same lines: `./cross cortex-m` compares the two.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod sensor;

#[cfg(target_os = "none")]
mod device;

#[cfg(not(target_os = "none"))]
fn main() -> Result<(), mollifier::kernel::KernelError> {
    let mut sensor = sensor::Sensor::new()?;
    for line in sensor::TRACE.lines() {
        if let Some(heating) = sensor.push(sensor::count(line)) {
            println!("{heating}");
        }
    }
    Ok(())
}
