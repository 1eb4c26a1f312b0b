//! Encryption of media packets (RFC 3711, RFC 7714).

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, Tag, UnboundKey};
use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, Aes128CmSha1_80Cipher, CryptoError, SrtpProvider, SupportedAeadAes128Gcm,
    SupportedAeadAes256Gcm, SupportedAes128CmSha1_80,
};

const BLOCK: usize = 16;
const TAG: usize = 16;

#[derive(Debug)]
pub(super) struct Srtp;

impl SrtpProvider for Srtp {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        &Srtp
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &Srtp
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &Srtp
    }

    fn srtp_aes_128_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        if let Ok(cipher) = Aes128::new_from_slice(key) {
            encrypt_block(&cipher, input, output);
        }
    }

    fn srtp_aes_256_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        if let Ok(cipher) = Aes256::new_from_slice(key) {
            encrypt_block(&cipher, input, output);
        }
    }
}

/// One block of `input` to the start of `output`; keys are derived from that block alone.
fn encrypt_block<C>(cipher: &C, input: &[u8], output: &mut [u8])
where
    C: BlockCipherEncrypt<BlockSize = aes::cipher::consts::U16>,
{
    let mut block = [0; BLOCK];
    block.copy_from_slice(&input[..BLOCK]);
    cipher.encrypt_block((&mut block).into());
    output[..BLOCK].copy_from_slice(&block);
}

impl SupportedAes128CmSha1_80 for Srtp {
    fn create_cipher(&self, key: [u8; 16], _encrypt: bool) -> Box<dyn Aes128CmSha1_80Cipher> {
        Box::new(CounterMode(Aes128::new(&key.into())))
    }
}

impl SupportedAeadAes128Gcm for Srtp {
    fn create_cipher(&self, key: [u8; 16], _encrypt: bool) -> Box<dyn AeadAes128GcmCipher> {
        Box::new(Gcm::new(&AES_128_GCM, &key))
    }
}

impl SupportedAeadAes256Gcm for Srtp {
    fn create_cipher(&self, key: [u8; 32], _encrypt: bool) -> Box<dyn AeadAes256GcmCipher> {
        Box::new(Gcm::new(&AES_256_GCM, &key))
    }
}

/// AES in counter mode; str0m adds the signature.
#[derive(Debug)]
struct CounterMode(Aes128);

impl CounterMode {
    fn apply(&self, iv: &[u8; BLOCK], input: &[u8], output: &mut [u8]) {
        let mut counter = u128::from_be_bytes(*iv);
        for (input, output) in input.chunks(BLOCK).zip(output.chunks_mut(BLOCK)) {
            let mut keystream = [0; BLOCK];
            encrypt_block(&self.0, &counter.to_be_bytes(), &mut keystream);
            for ((out, byte), key) in output.iter_mut().zip(input).zip(keystream) {
                *out = byte ^ key;
            }
            counter = counter.wrapping_add(1);
        }
    }
}

impl Aes128CmSha1_80Cipher for CounterMode {
    fn encrypt(&mut self, iv: &[u8; 16], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        self.apply(iv, input, output);
        Ok(())
    }

    fn decrypt(&mut self, iv: &[u8; 16], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        self.apply(iv, input, output);
        Ok(())
    }
}

/// AES in Galois/counter mode. A key that could not be made encrypts nothing.
#[derive(Debug)]
struct Gcm(Option<LessSafeKey>);

impl Gcm {
    fn new(algorithm: &'static Algorithm, key: &[u8]) -> Self {
        Self(UnboundKey::new(algorithm, key).ok().map(LessSafeKey::new))
    }

    /// Writes the ciphertext and then the tag.
    fn seal(&self, iv: [u8; 12], aad: &[u8], input: &[u8], output: &mut [u8]) -> Option<()> {
        let (text, tag) = output.get_mut(..input.len() + TAG)?.split_at_mut(input.len());
        text.copy_from_slice(input);
        let nonce = Nonce::assume_unique_for_key(iv);
        tag.copy_from_slice(self.0.as_ref()?.seal_in_place_separate_tag(nonce, Aad::from(aad), text).ok()?.as_ref());
        Some(())
    }

    /// Takes the ciphertext and then the tag; gives the length of the text.
    fn open(&self, iv: [u8; 12], aads: &[&[u8]], input: &[u8], output: &mut [u8]) -> Option<usize> {
        let (text, tag) = input.split_at(input.len().checked_sub(TAG)?);
        let output = output.get_mut(..text.len())?;
        output.copy_from_slice(text);
        let (nonce, tag) = (Nonce::assume_unique_for_key(iv), Tag::try_from(tag).ok()?);
        let opened = self.0.as_ref()?.open_in_place_separate_tag(nonce, Aad::from(aads.concat()), tag, output, 0..);
        opened.ok().map(|text| text.len())
    }
}

fn failed() -> CryptoError {
    CryptoError::Other("AES-GCM".to_owned())
}

impl AeadAes128GcmCipher for Gcm {
    fn encrypt(&mut self, iv: &[u8; 12], aad: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        self.seal(*iv, aad, input, output).ok_or_else(failed)
    }

    fn decrypt(
        &mut self,
        iv: &[u8; 12],
        aads: &[&[u8]],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        self.open(*iv, aads, input, output).ok_or_else(failed)
    }
}

impl AeadAes256GcmCipher for Gcm {
    fn encrypt(&mut self, iv: &[u8; 12], aad: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        self.seal(*iv, aad, input, output).ok_or_else(failed)
    }

    fn decrypt(
        &mut self,
        iv: &[u8; 12],
        aads: &[&[u8]],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        self.open(*iv, aads, input, output).ok_or_else(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::unhex;

    fn array<const N: usize>(hex: &str) -> [u8; N] {
        unhex(hex).try_into().unwrap()
    }

    #[test]
    fn blocks_are_those_of_fips_197() {
        let (mut short, mut long) = ([0; 32], [0; 32]);
        let input = unhex("00112233445566778899aabbccddeeff");
        Srtp.srtp_aes_128_ecb_round(&unhex("000102030405060708090a0b0c0d0e0f"), &input, &mut short);
        assert_eq!(short[..BLOCK], unhex("69c4e0d86a7b0430d8cdb78070b4c55a"));
        let key = unhex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
        Srtp.srtp_aes_256_ecb_round(&key, &input, &mut long);
        assert_eq!(long[..BLOCK], unhex("8ea2b7ca516745bfeafc49904b496089"));
    }

    #[test]
    fn the_keystream_is_that_of_rfc_3711() {
        // Section B.2: the keystream of the first three counters.
        let mut cipher =
            SupportedAes128CmSha1_80::create_cipher(&Srtp, array("2b7e151628aed2a6abf7158809cf4f3c"), true);
        let iv = array("f0f1f2f3f4f5f6f7f8f9fafbfcfd0000");
        let mut output = [0; 48];
        cipher.encrypt(&iv, &[0; 40], &mut output).unwrap();
        let expected = "e03ead0935c95e80e166b16dd92b4eb4 d23513162b02d0f72a43a2fe4a5f97ab 41e95b3bb0a2e8dd";
        assert_eq!(output[..40], unhex(expected));
        assert_eq!(output[40..], [0; 8]);
        let mut back = [0; 48];
        cipher.decrypt(&iv, &output[..40], &mut back).unwrap();
        assert_eq!(back, [0; 48]);
    }

    /// Test cases 4 and 16 of the specification of GCM.
    const IV: &str = "cafebabefacedbaddecaf888";
    const AAD: &str = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
    const TEXT: &str = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
                        1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
    const KEY: &str = "feffe9928665731c6d6a8f9467308308";
    const SEALED_128: &str = "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e\
                              21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091\
                              5bc94fbc3221a5db94fae95ae7121a47";
    const SEALED_256: &str = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
                              8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662\
                              76fc6ece0f4e1768cddf8853bb2d551b";

    #[test]
    fn gcm_is_that_of_its_specification() {
        let (text, aad) = (unhex(TEXT), unhex(AAD));
        let mut output = vec![0; text.len() + TAG];
        let mut short = SupportedAeadAes128Gcm::create_cipher(&Srtp, array(KEY), true);
        short.encrypt(&array(IV), &aad, &text, &mut output).unwrap();
        assert_eq!(output, unhex(SEALED_128));
        let mut long = SupportedAeadAes256Gcm::create_cipher(&Srtp, array(&format!("{KEY}{KEY}")), true);
        long.encrypt(&array(IV), &aad, &text, &mut output).unwrap();
        assert_eq!(output, unhex(SEALED_256));
        let mut back = vec![0; text.len() + 7];
        let length = long.decrypt(&array(IV), &[&aad[..12], &aad[12..]], &output, &mut back).unwrap();
        assert_eq!(back[..length], text);
    }

    #[test]
    fn a_forged_packet_is_not_opened() {
        let mut cipher = SupportedAeadAes128Gcm::create_cipher(&Srtp, array(KEY), false);
        let (aad, mut sealed) = (unhex(AAD), unhex(SEALED_128));
        let mut output = vec![0; sealed.len()];
        assert!(cipher.decrypt(&array(IV), &[&aad], &sealed, &mut output).is_ok());
        assert!(cipher.decrypt(&array(IV), &[&aad[1..]], &sealed, &mut output).is_err());
        assert!(cipher.decrypt(&array(IV), &[&aad], &sealed[..TAG - 1], &mut output).is_err());
        assert!(cipher.decrypt(&array(IV), &[&aad], &sealed, &mut [0; 4]).is_err());
        sealed[3] ^= 1;
        assert!(cipher.decrypt(&array(IV), &[&aad], &sealed, &mut output).is_err());
    }
}
