//! Sending and receiving by io_uring, one operation at a time.

use std::{io, net::TcpStream, os::fd::AsRawFd as _};

use io_uring::{IoUring, cqueue, opcode, squeue, types::Fd};

/// A ring of its own.
pub(crate) struct Ring(IoUring);

impl Ring {
    pub(crate) fn new() -> io::Result<Self> {
        IoUring::new(8).map(Self)
    }

    pub(crate) fn receive(&mut self, stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        self.run(&opcode::Recv::new(Fd(stream.as_raw_fd()), buffer.as_mut_ptr(), buffer.len() as u32).build())
    }

    pub(crate) fn send(&mut self, stream: &TcpStream, data: &[u8]) -> io::Result<usize> {
        self.run(&opcode::Send::new(Fd(stream.as_raw_fd()), data.as_ptr(), data.len() as u32).build())
    }

    pub(crate) fn send_zerocopy(&mut self, stream: &TcpStream, data: &[u8]) -> io::Result<usize> {
        let sent = self.run(&opcode::SendZc::new(Fd(stream.as_raw_fd()), data.as_ptr(), data.len() as u32).build())?;
        // A second completion says that the kernel has let go of the data.
        self.0.submit_and_wait(1)?;
        self.0.completion().next();
        Ok(sent)
    }

    fn run(&mut self, operation: &squeue::Entry) -> io::Result<usize> {
        // SAFETY: callers wait here for the operation, so its buffers outlive it.
        unsafe { self.0.submission().push(operation) }.expect("an empty queue takes an operation");
        self.0.submit_and_wait(1)?;
        let completion: cqueue::Entry = self.0.completion().next().expect("waited for one completion");
        usize::try_from(completion.result()).map_err(|_| io::Error::from_raw_os_error(-completion.result()))
    }
}
