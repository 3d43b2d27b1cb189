// A camera as driver: pictures go to the server, strengths of action units come back.

const PICTURE_PX = 320;

/** Starts and stops the camera; `send` sends a picture, `order` a message. Returns a function for each answer. */
function connectWebcam({ send, order }, say) {
  const video = byId("camera"), button = byId("webcam"), picture = document.createElement("canvas");
  let stream = null;
  function stop() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    video.hidden = true;
    button.textContent = "Webcam";
    order("webcam", { on: false });
  }
  async function start() {
    if (!navigator.mediaDevices) { say("the browser gives no camera to this address, expected localhost or https", true); return; }
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, facingMode: "user" } });
    video.srcObject = stream;
    await video.play();
    video.hidden = false;
    button.textContent = "Stop";
    order("webcam", { on: true });
    next();
  }
  function next() {
    if (!stream) return;
    if (!video.videoWidth) { requestAnimationFrame(next); return; }
    picture.width = PICTURE_PX;
    picture.height = Math.round(PICTURE_PX * video.videoHeight / video.videoWidth);
    picture.getContext("2d").drawImage(video, 0, 0, picture.width, picture.height);
    picture.toBlob(async (blob) => { if (stream && blob) send(await blob.arrayBuffer()); }, "image/jpeg", 0.85);
  }
  button.addEventListener("click", () => {
    if (stream) stop(); else start().catch((error) => { stop(); say(`no camera (${error.message})`, true); });
  });
  return { next, lost: () => { if (stream) stop(); } };
}
