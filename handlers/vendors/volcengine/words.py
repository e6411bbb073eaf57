"""Every event that Volcengine RTC names (docs/6348/75125 and 104534), with those that Reelhook reads marked as such."""

from __future__ import annotations

RECORD_STARTED = "RecordStarted"
RECORD_STOPPED = "RecordStopped"
RECORD_UPLOAD_STARTED = "RecordUploadStarted"
RECORD_UPLOAD_PROCESSING = "RecordUploadProcessing"
RECORD_UPLOAD_DONE = "RecordUploadDone"
#: the vendor's spelling
RECORD_UPLOAD_BACKED_UP = "RecordUploadBackuped"
RECORD_SYNC_UPLOAD_STARTED = "RecordSyncUploadStarted"
RECORD_SYNC_UPLOAD_FAILED = "RecordSyncUploadFailed"
RECORD_AUDIO_STREAM = "RecordAudioStreamStateChanged"
RECORD_VIDEO_STREAM = "RecordVideoStreamStateChanged"
SEGMENT = "SegmentRealTimeData"
PUSH_STARTED = "TranscodeStarted"
PUSH_UPDATED = "TranscodeUpdated"
PUSH_CHANGED = "TranscodeStateChanged"
PUSH_STOPPED = "TranscodeStopped"

#: of rooms, users and streams, of snapshots and live shows: nothing is recorded by them
_UNREAD = """
    RoomCreate RoomDestroy UserJoinRoom UserLeaveRoom InvisibleUserJoinRoom InvisibleUserLeaveRoom
    RoleChangeInvisible2Visible RoleChangeVisible2Invisible
    UserAudioStreamStart UserAudioStreamStop UserVideoStreamStart UserVideoStreamStop
    UserScreenAudioStreamStart UserScreenAudioStreamStop UserScreenVideoStreamStart UserScreenVideoStreamStop
    SnapshotRealTimeData RelayStreamStateChanged Webcast PushPublicStream MusicRemoved
    WbTranscodeProgressChanged WbTranscodeFinished MachineReviewResult
"""
WORDS = frozenset(
    {
        RECORD_STARTED,
        RECORD_STOPPED,
        RECORD_UPLOAD_STARTED,
        RECORD_UPLOAD_PROCESSING,
        RECORD_UPLOAD_DONE,
        RECORD_UPLOAD_BACKED_UP,
        RECORD_SYNC_UPLOAD_STARTED,
        RECORD_SYNC_UPLOAD_FAILED,
        RECORD_AUDIO_STREAM,
        RECORD_VIDEO_STREAM,
        SEGMENT,
        PUSH_STARTED,
        PUSH_UPDATED,
        PUSH_CHANGED,
        PUSH_STOPPED,
        *_UNREAD.split(),
    }
)
